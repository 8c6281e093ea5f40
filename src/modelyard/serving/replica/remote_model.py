"""A model in processes of its own, as a gateway holds it: its channels, and its dealings with the
runtime host. What goes over the channels is for `remote` and `speaker` to say.
"""

from __future__ import annotations

import asyncio
import math
import socket
from typing import Final, Generic, Protocol, TypeVar

from modelyard.core.errors import Unavailable
from modelyard.serving.replica.channel import Terms
from modelyard.serving.replica.replica_socket import ReplicaSocket

REPORT: Final = 0.2
"""Seconds between reports of the load, while there is any."""

FOR_GOOD: Final = 15.0
"""Seconds until it is asked again after a refusal that is said to be final."""

C = TypeVar("C", bound=ReplicaSocket)


class ReplicaHost(Protocol):
    """The runtime host, as far as one model is concerned. Nothing here waits."""

    def connect(self) -> None:
        """Ask for a channel to a replica; the answer comes by `connected` or `refused`."""
        ...

    def load(self, in_flight: int, waiting: int, answered: int) -> None:
        """Tell how much there is to do, and how many calls were answered since the last time."""
        ...

    def released(self, replica_id: str, wrong: str) -> None:
        """Tell that there is no channel to a replica any more, and what it did wrong, if it did."""
        ...

    def accuse(self, digests: tuple[bytes, ...]) -> None:
        """Tell the other gateways of requests that were in a replica's hands when it died."""
        ...

    def clear(self, digests: tuple[bytes, ...]) -> None:
        """Tell the other gateways that these were answered after all."""
        ...

    def unwant(self) -> None:
        """Tell that nobody asks this model any more."""
        ...


class RemoteModel(Generic[C]):
    """The replicas of one version for one deployment. Lives on one event loop.

    `failure` tells why it cannot be asked at present; empty while it can. A subclass opens the
    channels (`_open`), counts its work (`_load`) and goes on with it when things have changed
    (`_resume`).
    """

    def __init__(self, host: ReplicaHost) -> None:
        self.failure = ""
        self._host = host
        self._channels: dict[str, C] = {}
        self._draining: set[str] = set()
        self._asked = self._retired = False
        self._refusal = Unavailable("")
        self._refused_until = 0.0
        self._answered = 0
        self._told = 0.0
        self._telling: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def replicas(self) -> int:
        """How many replicas there are, as far as this gateway knows."""
        return len(self._channels)

    def wake(self) -> None:
        """Ask for a replica if there is none."""
        if not self._channels:
            self._ask()

    # For a subclass to say

    def _open(self, sock: socket.socket, replica_id: str) -> C:
        """A channel to the replica, which tells `_gone` of its end."""
        raise NotImplementedError

    def _load(self) -> tuple[int, int]:
        """How many requests are at replicas, and how many wait for one."""
        raise NotImplementedError

    def _resume(self) -> None:
        """Give what waits to who is free, or refuse it where `_refuses`."""
        raise NotImplementedError

    # What the runtime host says

    def connected(self, replica_id: str, sock: socket.socket) -> None:
        """Here is a channel to a replica, asked for or not."""
        self._asked = False
        if replica_id in self._channels:
            sock.close()
            return
        self._channels[replica_id] = self._open(sock, replica_id)
        self._resume()

    def refused(self, reason: str, retry_after: float) -> None:
        """There is no channel to be had for now: whoever waits for one waits in vain."""
        self._asked = False
        seconds = retry_after or FOR_GOOD
        self._refusal = Unavailable(reason, retry_after=max(1, math.ceil(seconds)))
        self._refused_until = self._loop.time() + seconds
        self._resume()

    def failed(self, reason: str, retry_after: float) -> None:
        """The model cannot be loaded, or does not stay alive."""
        self.failure = reason
        self.refused(reason, retry_after)

    def prepared(self, terms: Terms) -> None:
        """It can be asked, or again; on these terms from the next replica on."""
        self.failure = ""
        self._refused_until = 0.0

    def drain(self, replica_id: str) -> None:
        """Give the replica nothing more, and let go of it when it has answered."""
        channel = self._channels.get(replica_id)
        if channel is None:
            self._host.released(replica_id, "")
        elif channel.busy:
            self._draining.add(replica_id)
        else:
            channel.close()

    def forget(self) -> None:
        """The runtime host is gone, and its replicas with it: whatever was asked is asked anew."""
        self._asked = False
        self._close_channels()

    def retire(self) -> None:
        """No new request comes. Once those that are here have been answered, let go of all."""
        self._retired = True
        self._tell_soon()

    def revive(self) -> None:
        """Requests come again, if it is not too late for that."""
        self._retired = False

    def close(self) -> None:
        """Let go of all replicas."""
        self._close_channels()
        if self._telling is not None:
            self._telling.cancel()

    def _close_channels(self) -> None:
        for channel in list(self._channels.values()):
            channel.close()

    def _gone(self, channel: C, wrong: str) -> None:
        self._channels.pop(channel.replica_id, None)
        self._draining.discard(channel.replica_id)
        self._host.released(channel.replica_id, wrong)

    @property
    def _refuses(self) -> bool:
        return not self._channels and self._loop.time() < self._refused_until

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._host.connect()

    # The load

    def _tell_soon(self) -> None:
        if self._telling is None:
            since = self._loop.time() - self._told
            self._telling = self._loop.call_later(max(0.0, REPORT - since), self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._told = self._loop.time()
        in_flight, waiting = self._load()
        self._host.load(in_flight, waiting, self._answered)
        if self._retired and not (waiting or in_flight):
            self.close()
            self._host.unwant()
            return
        if waiting or in_flight or self._answered:
            self._tell_soon()
        self._answered = 0
