"""The gateway's HTTP server: uvicorn around one ASGI app, with an orderly end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from modelyard.api.asgi import App


class GatewayServer(uvicorn.Server):
    """A uvicorn server that says 'not ready' first and stops accepting after.

    On the first SIGTERM or SIGINT it calls `drain`, goes on answering for `drain_delay` seconds
    so that load balancers can notice, then closes and lets the requests in flight finish for
    `drain_seconds` at most. On the second it stops at once.
    """

    def __init__(
        self,
        app: App,
        connection: Callable[..., asyncio.Protocol],
        drain: Callable[[], None],
        *,
        drain_delay: float,
        drain_seconds: float,
        idle_seconds: float,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                # uvicorn calls it as it would call a class.
                http=connection,  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=max(1, round(idle_seconds)),
                timeout_graceful_shutdown=max(1, round(drain_seconds)),
            )
        )
        self._drain = drain
        self._drain_delay = drain_delay
        self._draining = False
        self.serving = asyncio.Event()
        """Set once connections are accepted."""
        self.stopping = asyncio.Event()
        """Set once no new ones are."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn to begin accepting."""
        await super().startup(sockets=sockets)
        self.serving.set()

    async def run_on(self, listener: socket.socket) -> None:
        """Serve until stopped."""
        self._loop = asyncio.get_running_loop()
        await self.serve(sockets=[listener])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by uvicorn for SIGTERM and SIGINT."""
        if self._draining:
            self.should_exit = self.force_exit = True
            return
        self._draining = True
        self._loop.call_soon_threadsafe(self._begin_to_drain)

    def _begin_to_drain(self) -> None:
        self._drain()
        self._loop.call_later(self._drain_delay, self._stop_accepting)

    def _stop_accepting(self) -> None:
        self.should_exit = True
        self.stopping.set()
