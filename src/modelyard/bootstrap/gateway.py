"""A gateway: the data plane at once, the management API when it is first asked for."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import resource
from functools import partial
from typing import TYPE_CHECKING, Final

import modelyard
from modelyard.bootstrap.management import make_management
from modelyard.bootstrap.parts import key_hasher, open_home, open_store, sealer
from modelyard.bootstrap.upstreams import UpstreamClient
from modelyard.core import collector, ids
from modelyard.core.clock import SystemClock

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from modelyard.adapters.home import Home
    from modelyard.adapters.telemetry.traces import OtelTracer
    from modelyard.api.authentication import Gate
    from modelyard.api.capacity import Capacity
    from modelyard.api.grpc.server import GrpcServer
    from modelyard.api.inference.extensions import Extensions
    from modelyard.api.server import GatewayServer
    from modelyard.core.settings import Settings
    from modelyard.serving.journal import JournalWriter
    from modelyard.serving.ports import RuntimeLoader
    from modelyard.serving.service import InferenceService

_log = logging.getLogger(__name__)

CATCH_UP_SECONDS: Final = 5.0
"""How long a gateway that starts waits for its keys and models before it accepts connections."""


SPARE_FILES: Final = 1024
"""What a gateway may have open beside its connections."""


def run(settings: Settings, listener: socket.socket) -> int:
    """Serve on the socket until SIGTERM; returns the exit status."""
    import uvloop

    _allow_files(settings.max_connections + SPARE_FILES)
    return uvloop.run(_serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> int:
    from modelyard.adapters.allowances import SharedAllowances
    from modelyard.adapters.store import SqlControlPlane
    from modelyard.api.capacity import Capacity
    from modelyard.api.connection import Connection
    from modelyard.api.deferred import DeferredApp
    from modelyard.api.front import Front
    from modelyard.api.inference.extension_routes import ExtensionRoutes
    from modelyard.api.inference.extensions import Extensions
    from modelyard.api.inference.openai.application import OpenAiApp
    from modelyard.api.inference.routes import InferenceRoutes
    from modelyard.api.known_heads import KnownHeads
    from modelyard.api.limits import ConnectionLimits
    from modelyard.api.server import GatewayServer
    from modelyard.serving.follower import Follower
    from modelyard.serving.metrics import Metrics, read_totals
    from modelyard.serving.service import InferenceService

    home, clock, gateway_id = open_home(settings), SystemClock(), ids.new_id(ids.GATEWAY)
    store, upstreams = open_store(settings, home), UpstreamClient(settings.provider_allow)
    journal = _journal(settings, home)
    service = InferenceService(
        clock,
        key_hasher(home),
        journal,
        threads=os.cpu_count() or 1,
        allowances=SharedAllowances(home.allowances),
    )
    tracer = _tracer(settings, gateway_id)
    max_body, limits = settings.max_request_bytes, ConnectionLimits.of(settings)
    capacity = Capacity(limits)
    extensions = Extensions(service, partial(read_totals, home.metrics))
    routes = InferenceRoutes(
        service,
        ExtensionRoutes(extensions, max_request_bytes=max_body),
        capacity,
        server_version=modelyard.__version__,
        max_request_bytes=max_body,
        tracer=tracer,
    )
    openai = OpenAiApp(service, max_request_bytes=max_body)
    front = Front(
        service,
        routes,
        home.metrics,
        capacity,
        max_request_bytes=max_body,
        openai=openai,
        proxies=settings.proxies,
    )
    front.management = DeferredApp(
        partial(make_management, settings, home, store, service, tracer, upstreams.get)
    )
    loader = _loader(settings, home, gateway_id, upstreams)
    follower = Follower(
        gateway_id,
        SqlControlPlane(store, clock),
        loader,
        Metrics(home.metrics, gateway_id),
        clock,
        service.publish,
        inline_seconds=settings.inline_ms / 1000,
    )
    server = GatewayServer(
        front,
        partial(Connection, front, limits, KnownHeads(), capacity),
        service.drain,
        drain_delay=settings.drain_delay,
        drain_seconds=settings.drain_seconds,
        idle_seconds=settings.idle_seconds,
    )
    follower.start()
    # Until then the other gateways, or the socket's queue, take what comes.
    await asyncio.to_thread(follower.caught_up.wait, CATCH_UP_SECONDS)
    collector.keep()
    grpc = asyncio.create_task(
        _serve_grpc(
            settings,
            server,
            listener.getsockname()[0],
            partial(_make_grpc, settings, service, extensions, capacity, tracer, front.gate),
        )
    )
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
        loader.close()
        await upstreams.close()
        if tracer is not None:
            tracer.close()
    return 0


def _journal(settings: Settings, home: Home) -> JournalWriter:
    from modelyard.serving.journal import JournalWriter

    sync_ms = settings.journal_sync_ms if settings.journal_sync == "interval" else None
    return JournalWriter(home.journal, sync_ms)


def _loader(
    settings: Settings, home: Home, gateway_id: str, upstreams: UpstreamClient
) -> RuntimeLoader:
    """Into this process; or, by the runtime host, into others; or there is nothing to load."""
    from modelyard.adapters.blobs import local_blobs
    from modelyard.adapters.engine.host_client import HostClient
    from modelyard.serving.local import LocalLoader
    from modelyard.serving.placement import PlacingLoader
    from modelyard.serving.runtimes.onnx import OnnxLoader
    from modelyard.serving.upstream.counts import UpstreamCounters
    from modelyard.serving.upstream.loader import UpstreamLoader

    engine = HostClient(home.run, gateway_id, max_answer=settings.max_answer_bytes)
    engine.start()
    blobs = local_blobs(home.blobs)
    elsewhere = UpstreamLoader(
        blobs,
        sealer(home),
        upstreams.get,
        UpstreamCounters(home.metrics, gateway_id),
        settings.max_answer_bytes,
    )
    local = LocalLoader(OnnxLoader(blobs).load)
    return PlacingLoader(local, engine, elsewhere, settings.inline_memory_bytes)


def _allow_files(wanted: int) -> None:
    """Raise this process's bound on open files to what is wanted, as far as the host lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unbound = resource.RLIM_INFINITY
    if soft == unbound or soft >= wanted:
        return
    most = wanted if hard == unbound else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        _log.warning("the host allows %d open files, fewer than max_connections needs", most)


async def _serve_grpc(
    settings: Settings, server: GatewayServer, host: str, make: Callable[[], GrpcServer]
) -> None:
    """GRPC on the same loop, from when HTTP is served until it stops."""
    if settings.grpc_port < 0:
        return
    await server.serving.wait()
    try:
        # Importing it takes a while, in which HTTP is answered.
        await asyncio.to_thread(importlib.import_module, "modelyard.api.grpc.application")
        grpc = make()
        await grpc.start(host, settings.grpc_port)
    except Exception:  # noqa: BLE001 - HTTP is served on, whatever is wrong with gRPC
        _log.exception("gRPC is not served")
        return
    await server.stopping.wait()
    await grpc.stop(settings.drain_seconds)


def _make_grpc(
    settings: Settings,
    service: InferenceService,
    extensions: Extensions,
    capacity: Capacity,
    tracer: OtelTracer | None,
    gate: Gate,
) -> GrpcServer:
    from modelyard.api.grpc.application import make_grpc_server

    return make_grpc_server(
        service,
        extensions,
        capacity,
        server_version=modelyard.__version__,
        max_request_bytes=settings.max_request_bytes,
        tracer=tracer,
        gate=gate,
    )


def _tracer(settings: Settings, instance: str) -> OtelTracer | None:
    """What tells a collector of requests, if one is named."""
    from modelyard.adapters.telemetry.collector import collector_named

    if not collector_named(settings, os.environ):
        return None
    from modelyard.adapters.telemetry.traces import OtelTracer, span_exporter

    version = modelyard.__version__
    return OtelTracer(settings, span_exporter(settings), version=version, instance=instance)
