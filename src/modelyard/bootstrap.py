"""The composition root: settings become adapters, adapters services, services processes.

Nothing else builds an object that another room uses. `python -m modelyard.bootstrap PROCESS` is
how the supervisor starts its children; each imports only what its process needs.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import importlib
import logging
import os
import signal
import socket
import sys
import threading
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

import modelyard
from modelyard.core import ids
from modelyard.core.clock import SystemClock
from modelyard.core.settings import PREFIX, Settings, resolve
from modelyard.core.stopping import StopFlag

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelyard.adapters.home import Home
    from modelyard.adapters.store import SqlStore
    from modelyard.api.asgi import App
    from modelyard.api.inference.extensions import Extensions
    from modelyard.api.server import GatewayServer
    from modelyard.core.tasks import TaskRunner
    from modelyard.serving.service import InferenceService

_log = logging.getLogger(__name__)

GATEWAY: Final = "gateway"
CONTROLLER: Final = "controller"
WORKER: Final = "worker"

CATCH_UP_SECONDS: Final = 5.0
"""How long a gateway that starts waits for its keys and models before it accepts connections."""


def up(settings: Settings) -> int:
    """Run the whole server until it is stopped; returns the exit status."""
    from modelyard.adapters.telemetry.logs import configure_logs

    hidden = [settings.admin_key] if settings.admin_key else []
    configure_logs(settings.log_format, settings.log_level, hidden)
    # Whatever is made from here on is its owner's alone, in a home that others can look into too.
    os.umask(0o077)
    home = _home(settings)
    home.prepare()
    with home.held():
        return _supervise(settings, home)


def _supervise(settings: Settings, home: Home) -> int:
    from modelyard.adapters.engine.shared_port import reserve
    from modelyard.adapters.engine.supervisor import ChildSpec, Supervisor, listen

    home.clear_metrics()
    _open(settings, home)
    listener = listen(settings.host, settings.port)
    url, grpc_url = _url(listener), ""
    shared = None
    if settings.grpc_port >= 0:
        shared = reserve(listener.getsockname()[0], settings.grpc_port)
        grpc_url = _url(shared).removeprefix("http://")
        settings = msgspec.structs.replace(settings, grpc_port=shared.getsockname()[1])
    _export(settings)
    command = (sys.executable, "-m", "modelyard.bootstrap")
    grace = settings.drain_delay + settings.drain_seconds + 5
    supervisor = Supervisor(
        [
            ChildSpec(GATEWAY, (*command, GATEWAY), settings.gateways, listens=True, grace=grace),
            ChildSpec(WORKER, (*command, WORKER), settings.job_workers),
            # Last, so that it takes in what the gateways have recorded until their end.
            ChildSpec(CONTROLLER, (*command, CONTROLLER), stop_order=1),
        ],
        listener=listener,
        ready=lambda: _answers(listener) and (shared is None or _accepts(shared)),
        on_ready=lambda: _announce(home, url, grpc_url),
    )
    try:
        return supervisor.run()
    finally:
        home.withdraw()


def main(arguments: list[str]) -> int:
    """Run one of the supervisor's children, or a task of theirs."""
    if arguments[0] == "task":
        return _task(arguments)
    from modelyard.adapters.telemetry.logs import configure_logs

    settings = resolve({}, os.environ).settings
    configure_logs(settings.log_format, settings.log_level)
    parser = argparse.ArgumentParser("modelyard.bootstrap")
    parser.add_argument("process", choices=[GATEWAY, CONTROLLER, WORKER])
    parser.add_argument("--socket-fd", type=int)
    given = parser.parse_args(arguments)
    if given.process == GATEWAY:
        return _gateway(settings, socket.socket(fileno=given.socket_fd))
    return _controller(settings) if given.process == CONTROLLER else _worker(settings)


def _task(arguments: list[str]) -> int:
    from modelyard.adapters.engine.child import main as run
    from modelyard.training import tasks

    by_name = {
        "train": tasks.train,
        "inspect": tasks.inspect_dataset,
        "import-onnx": tasks.import_onnx,
    }
    return run(by_name, arguments)


def _gateway(settings: Settings, listener: socket.socket) -> int:
    """One gateway: the data plane at once, the management API as soon as it is imported."""
    import uvloop

    return uvloop.run(_serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> int:
    from modelyard.adapters.blobs import local_blobs
    from modelyard.adapters.store import SqlControlPlane
    from modelyard.api.connection import Connection
    from modelyard.api.front import Front
    from modelyard.api.inference.extension_routes import ExtensionRoutes
    from modelyard.api.inference.extensions import Extensions
    from modelyard.api.inference.routes import InferenceRoutes
    from modelyard.api.limits import ConnectionLimits
    from modelyard.api.server import GatewayServer
    from modelyard.serving.follower import Follower
    from modelyard.serving.journal import JournalWriter
    from modelyard.serving.metrics import Metrics, read_totals
    from modelyard.serving.runtimes.onnx import OnnxLoader
    from modelyard.serving.service import InferenceService

    home, clock, gateway_id = _home(settings), SystemClock(), ids.new_id(ids.GATEWAY)
    store, blobs = _store(settings, home), local_blobs(home.blobs)
    sync_ms = settings.journal_sync_ms if settings.journal_sync == "interval" else None
    journal = JournalWriter(home.journal, sync_ms)
    service = InferenceService(clock, _hasher(home), journal, threads=os.cpu_count() or 1)
    max_body = settings.max_request_bytes
    extensions = Extensions(service, partial(read_totals, home.metrics))
    routes = InferenceRoutes(
        service,
        ExtensionRoutes(extensions, max_request_bytes=max_body),
        server_version=modelyard.__version__,
        max_request_bytes=max_body,
    )
    front = Front(service, routes, home.metrics, max_request_bytes=max_body)
    follower = Follower(
        gateway_id,
        SqlControlPlane(store, clock),
        OnnxLoader(blobs),
        Metrics(home.metrics, gateway_id),
        clock,
        service.publish,
        inline_seconds=settings.inline_ms / 1000,
    )
    server = GatewayServer(
        front,
        partial(Connection, front, ConnectionLimits(max_body=max_body)),
        service.drain,
        drain_delay=settings.drain_delay,
        drain_seconds=settings.drain_seconds,
    )
    follower.start()
    builder = threading.Thread(
        target=lambda: setattr(front, "management", _management(settings, home, store, service)),
        name="management",
        daemon=True,
    )
    builder.start()
    # Until then the other gateways, or the socket's queue, take what comes.
    await asyncio.to_thread(follower.caught_up.wait, CATCH_UP_SECONDS)
    host = listener.getsockname()[0]
    grpc = asyncio.create_task(_serve_grpc(settings, service, extensions, server, host))
    try:
        await server.run_on(listener)
    finally:
        server.stopping.set()
        if server.force_exit:
            grpc.cancel()
        await asyncio.wait([grpc])
        follower.stop()
        await journal.close()
        service.close()
    return 0


async def _serve_grpc(
    settings: Settings,
    service: InferenceService,
    extensions: Extensions,
    server: GatewayServer,
    host: str,
) -> None:
    """GRPC on the same loop, from when HTTP is served until it stops."""
    if settings.grpc_port < 0:
        return
    await server.serving.wait()
    try:
        # Importing it takes a while, in which HTTP is answered.
        await asyncio.to_thread(importlib.import_module, "modelyard.api.grpc.application")
        from modelyard.api.grpc.application import make_grpc_server

        grpc = make_grpc_server(
            service,
            extensions,
            server_version=modelyard.__version__,
            max_request_bytes=settings.max_request_bytes,
        )
        await grpc.start(host, settings.grpc_port)
    except Exception:  # noqa: BLE001 - HTTP is served on, whatever is wrong with gRPC
        _log.exception("gRPC is not served")
        return
    await server.stopping.wait()
    await grpc.stop(settings.drain_seconds)


def _management(settings: Settings, home: Home, store: SqlStore, service: InferenceService) -> App:
    from modelyard.adapters.blobs import local_blobs
    from modelyard.api.management import ManagementServices, make_management_app
    from modelyard.api.management.receiving import UploadReceiver
    from modelyard.billing.service import BillingService
    from modelyard.deployment.service import DeploymentService
    from modelyard.registry.service import RegistryService
    from modelyard.tenancy.service import TenancyService
    from modelyard.training.datasets import DatasetService
    from modelyard.training.importing import ImportService
    from modelyard.training.jobs import JobService
    from modelyard.training.scratch import ScratchRoot

    clock, blobs = SystemClock(), local_blobs(home.blobs)
    registry = RegistryService(store, clock)
    runner = _runner(settings, settings.inspect_seconds)
    scratch = ScratchRoot(home.scratch)
    return make_management_app(
        ManagementServices(
            tenancy=TenancyService(store, clock, home.pepper()),
            registry=registry,
            deployments=DeploymentService(store, clock),
            billing=BillingService(store, clock, settings.currency),
            datasets=DatasetService(
                store=store, blobs=blobs, runner=runner, scratch=scratch, clock=clock
            ),
            jobs=JobService(store, clock),
            imports=ImportService(
                store=store, blobs=blobs, runner=runner, scratch=scratch, registry=registry
            ),
            uploads=UploadReceiver(store, blobs, clock, home.uploads, settings.max_upload_bytes),
            store=store,
            clock=clock,
            draining=lambda: service.draining,
        )
    )


def _controller(settings: Settings) -> int:
    """The one that reconciles, ingests and reaps, while it holds the lease."""
    from modelyard.adapters.engine.rounds import LEASE_SECONDS, Round, Rounds
    from modelyard.adapters.journal import JournalFiles
    from modelyard.adapters.store import Lease
    from modelyard.billing.ingest import Ingester
    from modelyard.deployment.reconciler import Reconciler
    from modelyard.tenancy.tenant import DEFAULT

    home, clock, me = _home(settings), SystemClock(), ids.new_id(ids.WORKER)
    store = _store(settings, home)
    lease, ttl = Lease(store), timedelta(seconds=LEASE_SECONDS)
    reconciler = Reconciler(store, clock)
    ingester = Ingester(store, JournalFiles(home.journal))

    def reap() -> int:
        with store.begin() as tx:
            return tx.queue().reap(clock.now())

    def forget_answers() -> int:
        with store.begin() as tx:
            tenant = tx.tenants().named(DEFAULT)
            return tx.idempotency(tenant.id).expire(clock.now())

    rounds = Rounds(
        acquire=lambda: lease.acquire(CONTROLLER, me, clock.now(), ttl),
        release=lambda: lease.release(CONTROLLER, me),
        rounds=[
            Round("reconcile", 0.2, reconciler.reconcile),
            Round("ingest", 0.2, ingester.ingest),
            Round("reap", 1.0, reap),
            Round("forget silent gateways", 60.0, reconciler.forget_silent_gateways),
            Round("forget idempotent answers", 3600.0, forget_answers),
        ],
        clock=clock,
    )
    signal.signal(signal.SIGTERM, lambda *_: rounds.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rounds.run()
    # Gateways stop before the controller: what they wrote last is taken in.
    ingester.ingest()
    return 0


def _worker(settings: Settings) -> int:
    """One job at a time, each in a child of its own."""
    from modelyard.adapters.blobs import local_blobs
    from modelyard.registry.service import RegistryService
    from modelyard.training.jobs import TRAIN
    from modelyard.training.scratch import ScratchRoot
    from modelyard.training.train_handler import TrainHandler
    from modelyard.training.worker import Worker

    home, clock = _home(settings), SystemClock()
    store, blobs = _store(settings, home), local_blobs(home.blobs)
    stop = StopFlag()
    stop.on([signal.SIGTERM])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(
        store=store,
        runner=_runner(settings, None),
        handlers={TRAIN: TrainHandler(store, blobs, RegistryService(store, clock), clock)},
        scratch=ScratchRoot(home.scratch),
        clock=clock,
        worker_id=ids.new_id(ids.WORKER),
    )
    worker.run(stop)
    return 0


def _open(settings: Settings, home: Home) -> None:
    """Bring the database up to date and make the first tenant and key, before any child starts."""
    from modelyard.adapters.store import open_store
    from modelyard.tenancy.service import TenancyService

    store = open_store(_database(settings, home))
    try:
        tenancy = TenancyService(store, SystemClock(), home.pepper())
        secret = tenancy.open(settings.admin_key or None)
    finally:
        store.close()
    if secret is not None:
        path = home.save_admin_key(secret)
        if not settings.admin_key:
            _say(f"The operator's key, shown this once and kept in {path}:\n\n  {secret}\n")


def _export(settings: Settings) -> None:
    """Hand the settings to the children, which read them from their environment."""
    for name, value in msgspec.structs.asdict(settings).items():
        os.environ[PREFIX + name.upper()] = str(value)
    # It has done its work, and nobody but the first start needs it.
    del os.environ[f"{PREFIX}ADMIN_KEY"]


def _answers(listener: socket.socket) -> bool:
    """Whether a gateway on this socket says that it is ready."""
    host, port = listener.getsockname()[:2]
    connection = http.client.HTTPConnection(_reachable(host), port, timeout=0.5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _accepts(shared: socket.socket) -> bool:
    """Whether a gateway listens on this port."""
    host, port = shared.getsockname()[:2]
    try:
        socket.create_connection((_reachable(host), port), timeout=0.5).close()
    except OSError:
        return False
    return True


def _announce(home: Home, url: str, grpc_url: str) -> None:
    home.announce(url, grpc_url)
    grpc = f", gRPC on {grpc_url}" if grpc_url else ""
    _say(
        f"Modelyard {modelyard.__version__} serves on {url}{grpc}\n"
        f"  home {home.path}\n"
        f"  documentation {url}/docs (any user name, your key as password)"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = _reachable(host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _reachable(host: str) -> str:
    """An address at which this host itself finds what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _home(settings: Settings) -> Home:
    from modelyard.adapters.home import Home

    return Home(settings.home_path)


def _database(settings: Settings, home: Home) -> str:
    from modelyard.adapters.store import sqlite_url

    return settings.database_url or sqlite_url(home.database).render_as_string()


def _store(settings: Settings, home: Home) -> SqlStore:
    from modelyard.adapters.store import SqlStore, make_engine

    return SqlStore(make_engine(_database(settings, home)))


def _hasher(home: Home) -> Callable[[bytes], bytes]:
    from modelyard.tenancy.key import hash_secret

    pepper = home.pepper()
    return lambda secret: hash_secret(secret, pepper)


def _runner(settings: Settings, seconds: float | None) -> TaskRunner:
    from modelyard.adapters.engine.runner import ProcessTaskRunner

    command = (sys.executable, "-m", "modelyard.bootstrap")
    return ProcessTaskRunner(command, settings.task_memory_bytes, seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
