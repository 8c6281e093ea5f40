"""The gateway's gRPC server."""

from __future__ import annotations

from typing import Final

from grpc import aio

from modelyard.api.grpc.calls import InferenceCalls
from modelyard.api.grpc.service import GrpcService

MAX_CALLS: Final = 1024
"""Calls at once in one gateway; one more is refused with RESOURCE_EXHAUSTED."""

MAX_STREAMS: Final = 256
"""Calls at once on one connection; the client keeps the others back."""

MAX_METADATA: Final = 32 * 1024
IDLE_SECONDS: Final = 300
PING_SECONDS: Final = 10


class GrpcServer:
    """grpcio's asyncio server around the service, on the running event loop."""

    def __init__(
        self, service: GrpcService, calls: InferenceCalls, *, max_request_bytes: int
    ) -> None:
        self._calls = calls
        self._server = aio.server(
            handlers=(service,),
            maximum_concurrent_rpcs=MAX_CALLS,
            options=_options(max_request_bytes),
        )

    async def start(self, host: str, port: int) -> int:
        """Listen, beside the other gateways that listen on the same port; 0 takes a free one.

        Returns the port.

        Raises:
            RuntimeError: the address cannot be bound.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        bound = self._server.add_insecure_port(address)
        await self._server.start()
        return bound

    async def stop(self, seconds: float) -> None:
        """Take no more calls; what is under way has so many seconds to end."""
        self._calls.stop()
        await self._server.stop(seconds)


def _options(max_request_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 1),
        # A message holds names and shapes beside its tensors.
        ("grpc.max_receive_message_length", max_request_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.max_metadata_size", MAX_METADATA),
        ("grpc.absolute_max_metadata_size", MAX_METADATA),
        ("grpc.max_connection_idle_ms", IDLE_SECONDS * 1000),
        # A peer that vanished without a word is noticed; one that pings like mad is cut off.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", PING_SECONDS * 1000),
        ("grpc.http2.max_ping_strikes", 2),
    ]
