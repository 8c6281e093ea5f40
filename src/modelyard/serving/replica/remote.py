"""A model in processes of its own, as a gateway's queue sees it.

It has a channel to each of its replicas and gives work to the one that has rested longest. While
there is none, requests stay in their queue, and the runtime host is asked for one: that is what
wakes a cold model.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol
from weakref import WeakSet

from modelyard.core.errors import ReplicaDied, Unavailable
from modelyard.core.tensors import Tensor
from modelyard.serving.batch import Batch, NotRowByRow, Parts, Waiting, join, share
from modelyard.serving.replica.channel import Channel, Terms
from modelyard.serving.replica.suspects import Suspects
from modelyard.serving.runner import Queue

REPORT: Final = 0.2
"""Seconds between reports of the load, while there is any."""

FOR_GOOD: Final = 15.0
"""Seconds until it is asked again after a refusal that is said to be final."""


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


class RemoteRuntime:
    """A `Runner` over the replicas of one version for one deployment. Lives on one event loop.

    `failure` tells why it cannot be asked at present; empty while it can.
    """

    def __init__(self, terms: Terms, host: ReplicaHost) -> None:
        self.call_seconds = math.inf
        self.row_seconds = 0.0
        self.stackable = terms.rowwise
        self.failure = ""
        self._terms = terms
        self._host = host
        self._channels: dict[str, Channel] = {}
        self._draining: set[str] = set()
        self._queues: WeakSet[Queue] = WeakSet()
        self._suspects = Suspects()
        self._asked = False
        self._refusal = Unavailable("")
        self._refused_until = 0.0
        self._retired = False
        self._answered = 0
        self._told = 0.0
        self._telling: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def replicas(self) -> int:
        """How many replicas there are, as far as this gateway knows."""
        return len(self._channels)

    # What a batcher asks

    def attach(self, queue: Queue) -> None:
        """Have the queue told when a replica is free."""
        self._queues.add(queue)

    def admit(self, inputs: Mapping[str, Tensor]) -> object:
        """None, or for a suspect a group of its own. Raises Poisonous and Unavailable."""
        if self._refuses:
            raise self._refusal
        return object() if self._suspects.admit(inputs) else None

    def has_room(self, running: int) -> bool:
        """Whether a replica is free. If there is none at all, one is asked for."""
        self._tell_soon()
        if self._free() is not None:
            return True
        if not self._channels:
            self._ask()
        return False

    def wake(self) -> None:
        """Ask for a replica if there is none."""
        if not self._channels:
            self._ask()

    def run(self, batch: Batch) -> asyncio.Future[Parts]:
        """Send it to a free replica."""
        outcome: asyncio.Future[Parts] = self._loop.create_future()
        channel, requests = self._free(), batch.unanswered()
        if channel is None or not requests:
            outcome.set_result([])
            return outcome
        batch.rows = sum(each.rows for each in requests)
        batch.began = time.monotonic()
        seconds = max(each.deadline for each in requests) - batch.began
        call = channel.call(join(requests), batch.rows, seconds)
        batch.stop.on_set(partial(channel.cancel, call))
        call.add_done_callback(partial(self._done, channel, batch, requests, outcome))
        return outcome

    def _done(
        self,
        channel: Channel,
        batch: Batch,
        requests: list[Waiting],
        outcome: asyncio.Future[Parts],
        call: asyncio.Future[dict[str, Tensor]],
    ) -> None:
        batch.ended = time.monotonic()
        error = call.exception()
        if isinstance(error, ReplicaDied):
            self._host.accuse(self._suspects.died([each.inputs for each in requests]))
        elif channel.open:
            self._answered += 1
            cleared = self._suspects.answered([each.inputs for each in requests])
            if cleared:
                self._host.clear(cleared)
        if error is None:
            try:
                outcome.set_result(share(requests, call.result()))
            except NotRowByRow as mixed:
                outcome.set_exception(mixed)
        else:
            outcome.set_exception(error)
        if channel.replica_id in self._draining:
            channel.close()
        # Whoever has work for it hears of the room after the answers are out.
        self._loop.call_soon(self._resume)

    def _free(self) -> Channel | None:
        """The one that has rested longest of those that are free."""
        free = [
            channel
            for id_, channel in self._channels.items()
            if not channel.busy and id_ not in self._draining
        ]
        return min(free, key=lambda channel: channel.last_used) if free else None

    def _resume(self) -> None:
        for queue in list(self._queues):
            if self._refuses:
                queue.refuse(self._refusal)
            else:
                queue.resume()

    # What the runtime host says

    def connected(self, replica_id: str, sock: socket.socket) -> None:
        """Here is a channel to a replica, asked for or not."""
        self._asked = False
        present = self._channels.get(replica_id)
        if present is not None:
            sock.close()
            return
        self._channels[replica_id] = Channel(sock, replica_id, self._terms, self._gone)
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
        self._terms = terms
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

    def accused(self, digests: tuple[bytes, ...]) -> None:
        """Another gateway's replica died with these in its hands."""
        self._suspects.accuse(digests)

    def cleared(self, digests: tuple[bytes, ...]) -> None:
        """Another gateway's replica has answered these."""
        self._suspects.clear(digests)

    def forget(self) -> None:
        """The runtime host is gone, and its replicas with it: whatever was asked is asked anew."""
        self._asked = False
        for channel in list(self._channels.values()):
            channel.close()
        self._resume()

    def retire(self) -> None:
        """No new request comes. Once those that are here have been answered, let go of all."""
        self._retired = True
        self._tell_soon()

    def revive(self) -> None:
        """Requests come again, if it is not too late for that."""
        self._retired = False

    def close(self) -> None:
        """Let go of all replicas."""
        for channel in list(self._channels.values()):
            channel.close()
        if self._telling is not None:
            self._telling.cancel()

    def _gone(self, channel: Channel, wrong: str) -> None:
        self._channels.pop(channel.replica_id, None)
        self._draining.discard(channel.replica_id)
        self._host.released(channel.replica_id, wrong)
        self._loop.call_soon(self._resume)

    @property
    def _refuses(self) -> bool:
        return not self._channels and self._loop.time() < self._refused_until

    def _ask(self) -> None:
        if not self._asked and not self._refuses:
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
        waiting = sum(len(queue) for queue in self._queues)
        in_flight = sum(queue.running for queue in self._queues)
        self._host.load(in_flight, waiting, self._answered)
        if self._retired and not (waiting or in_flight):
            self.close()
            self._host.unwant()
            return
        if waiting or in_flight or self._answered:
            self._tell_soon()
        self._answered = 0
