"""The whole server: the supervisor and its children."""

from __future__ import annotations

import http.client
import os
import socket
import sys
from typing import TYPE_CHECKING, Final

import msgspec

import modelyard
from modelyard.bootstrap.parts import (
    COMMAND,
    database_url,
    judge_sandbox,
    make_ingester,
    open_home,
)
from modelyard.core.clock import SystemClock
from modelyard.core.errors import Unavailable
from modelyard.core.settings import PREFIX

if TYPE_CHECKING:
    from modelyard.adapters.home import Home
    from modelyard.core.settings import Settings

HEAD_START: Final = 1.5
"""Seconds that the gateways have for their start before the background's work begins."""


def run(settings: Settings) -> int:
    """Run the whole server until it is stopped; returns the exit status."""
    from modelyard.adapters.telemetry.collector import collector_named
    from modelyard.adapters.telemetry.logs import configure_logs
    from modelyard.adapters.upstream.addresses import AddressRules

    # Rather a word now than a gateway that cannot start.
    collector_named(settings, os.environ)
    AddressRules.parse(settings.provider_allow)
    hidden = [settings.admin_key] if settings.admin_key else []
    configure_logs(settings.log_format, settings.log_level, hidden)
    # Whatever is made from here on is its owner's alone, in a home that others can look into too.
    os.umask(0o077)
    judge_sandbox(settings)
    home = open_home(settings)
    home.prepare()
    with home.held():
        return _supervise(settings, home)


def _supervise(settings: Settings, home: Home) -> int:
    from modelyard.adapters.engine.shared_port import reserve
    from modelyard.adapters.engine.supervisor import ChildSpec, Supervisor, listen

    home.clear_metrics()
    # First of all: a server that cannot have its ports shall leave no trace.
    listener = listen(settings.host, settings.port)
    url, grpc_url = _url(listener), ""
    shared = None
    if settings.grpc_port >= 0:
        shared = reserve(listener.getsockname()[0], settings.grpc_port)
        grpc_url = _url(shared).removeprefix("http://")
        settings = msgspec.structs.replace(settings, grpc_port=shared.getsockname()[1])
    try:
        _open(settings, home)
    except Unavailable as error:
        # Here it may be told: whoever starts a server reads its log.
        reason = getattr(error.__cause__, "orig", error.__cause__)
        raise Unavailable(f"the database ('database_url') cannot be used: {reason}") from None
    _export(settings)
    grace = settings.drain_delay + settings.drain_seconds + 5
    supervisor = Supervisor(
        [
            ChildSpec(
                "gateway", (*COMMAND, "gateway"), settings.gateways, listens=True, grace=grace
            ),
            ChildSpec("worker", (*COMMAND, "worker"), settings.job_workers, yields=HEAD_START),
            # After the gateways, whose requests its replicas answer.
            ChildSpec("runtimes", (*COMMAND, "runtimes"), stop_order=1),
            # Last, so that it takes in what the gateways have recorded until their end.
            ChildSpec("controller", (*COMMAND, "controller"), stop_order=2, yields=HEAD_START),
        ],
        listener=listener,
        ready=lambda: _answers(listener) and (shared is None or _accepts(shared)),
        on_ready=lambda: _announce(home, url, grpc_url),
    )
    try:
        return supervisor.run()
    finally:
        home.withdraw()


def _open(settings: Settings, home: Home) -> None:
    """Bring the database up to date, make the first tenant and key, and the table of allowances:
    before any child starts.
    """
    from modelyard.adapters.allowances import SharedAllowances
    from modelyard.adapters.store import open_store
    from modelyard.tenancy.service import TenancyService

    store = open_store(database_url(settings, home))
    try:
        tenancy = TenancyService(store, SystemClock(), home.pepper())
        secret = tenancy.open(settings.admin_key or None)
        # What gateways of an earlier server have let through counts, before others let anything.
        make_ingester(home, store).ingest()
    finally:
        store.close()
    SharedAllowances.make(home.allowances, settings.gateways)
    if secret is not None:
        path = home.save_admin_key(secret)
        if not settings.admin_key:
            _say(f"The operator's key, shown this once and kept in {path}:\n\n  {secret}\n")


def _export(settings: Settings) -> None:
    """Hand the settings to the children, which read them from their environment."""
    for name, value in msgspec.structs.asdict(settings).items():
        os.environ[PREFIX + name.upper()] = str(value)
    # An arena of memory for each of a gateway's many threads is more than its few models.
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
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
