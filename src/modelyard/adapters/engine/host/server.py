"""The runtime host: listens for gateways, and keeps their replicas."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Final

from modelyard.adapters.engine.host import address
from modelyard.adapters.engine.host.connection import FrameConnection
from modelyard.adapters.engine.host.messages import (
    FROM_GATEWAY,
    Accuse,
    Clear,
    Connect,
    GatewayMessage,
    Hello,
    HostMessage,
    Load,
    Misbehaved,
    Refused,
    Released,
    Unwant,
    Want,
)
from modelyard.adapters.engine.host.resident import resident_bytes
from modelyard.adapters.engine.host.scheduler import Scheduler

POLL_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class GatewayPeer:
    """A gateway at the other end of a connection."""

    def __init__(self, connection: socket.socket, scheduler: Scheduler) -> None:
        self.channels: set[str] = set()
        self._name = "a gateway"
        self._scheduler = scheduler
        self._connection: FrameConnection[GatewayMessage] = FrameConnection(
            connection, FROM_GATEWAY, self._heard, self._lost
        )

    def send(self, message: HostMessage, descriptor: int | None = None) -> None:
        """Send the message, and give the descriptor away with it."""
        self._connection.send(message, descriptor)

    def close(self) -> None:
        """End the conversation."""
        self._connection.close()

    def _lost(self, reason: str) -> None:
        _log.info("a gateway is gone", extra={"gateway": self._name, "reason": reason})
        self._scheduler.leave(self)

    def _heard(self, message: GatewayMessage, _descriptor: int | None) -> None:
        scheduler = self._scheduler
        if isinstance(message, Load):
            scheduler.hear(self, message)
        elif isinstance(message, Connect):
            self._connect(message)
        elif isinstance(message, Want):
            scheduler.want(self, message.spec)
        elif isinstance(message, Unwant):
            scheduler.unwant(self, message.key)
        elif isinstance(message, Released):
            scheduler.released(self, message.replica_id)
        elif isinstance(message, Misbehaved):
            scheduler.misbehaved(message.replica_id, message.reason)
        elif isinstance(message, Accuse | Clear):
            scheduler.pass_on(self, message)
        elif isinstance(message, Hello):
            self._name = message.gateway_id

    def _connect(self, message: Connect) -> None:
        if not self._scheduler.ask(self, message.key, message.request):
            self.send(Refused(message.request, message.key, "this version is not wanted", 0.0))


class RuntimeHost:
    """One for a machine. Used on its event loop alone."""

    def __init__(self, folder: Path, scheduler: Scheduler) -> None:
        self._folder = folder
        self._scheduler = scheduler

    async def run(self, stop: asyncio.Event) -> None:
        """Serve gateways until `stop`; then end all replicas."""
        listener = address.listen(self._folder)
        duties = [
            asyncio.create_task(self._accept(listener)),
            asyncio.create_task(self._scheduler.run()),
            asyncio.create_task(self._measure()),
        ]
        try:
            stopped = asyncio.create_task(stop.wait())
            done, _ = await asyncio.wait([stopped, *duties], return_when=asyncio.FIRST_COMPLETED)
            for duty in done:
                duty.result()
        finally:
            for duty in duties:
                duty.cancel()
            listener.close()
            await self._scheduler.stop()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            if address.peer_is_ours(connection):
                GatewayPeer(connection, self._scheduler)
            else:
                _log.warning("another user's process was turned away")
                connection.close()

    async def _measure(self) -> None:
        """Look at what the replicas really take, and tell."""
        while True:
            self._scheduler.report()
            await asyncio.sleep(POLL_SECONDS)
            for replica in list(self._scheduler.replicas.values()):
                if replica.ready and replica.pid is not None:
                    size = await asyncio.to_thread(resident_bytes, replica.pid)
                    self._scheduler.measured(replica, size)
