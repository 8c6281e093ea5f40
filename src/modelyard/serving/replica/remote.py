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
from weakref import WeakSet

from modelyard.core.errors import ReplicaDied
from modelyard.core.tensors import Tensor
from modelyard.serving.batch import Batch, NotRowByRow, Parts, Waiting, join, share
from modelyard.serving.replica.channel import Channel, Terms
from modelyard.serving.replica.remote_model import RemoteModel, ReplicaHost
from modelyard.serving.replica.suspects import Suspects
from modelyard.serving.runner import Queue


class RemoteRuntime(RemoteModel[Channel]):
    """A `Runner` over the replicas of one version for one deployment."""

    def __init__(self, terms: Terms, host: ReplicaHost) -> None:
        super().__init__(host)
        self.call_seconds = math.inf
        self.row_seconds = 0.0
        self.stackable = terms.rowwise
        self._terms = terms
        self._queues: WeakSet[Queue] = WeakSet()
        self._suspects = Suspects()

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

    def prepared(self, terms: Terms) -> None:
        """It can be asked, or again; on these terms from the next replica on."""
        self._terms = terms
        super().prepared(terms)

    def accused(self, digests: tuple[bytes, ...]) -> None:
        """Another gateway's replica died with these in its hands."""
        self._suspects.accuse(digests)

    def cleared(self, digests: tuple[bytes, ...]) -> None:
        """Another gateway's replica has answered these."""
        self._suspects.clear(digests)

    def forget(self) -> None:
        """The runtime host is gone, and its replicas with it: whatever was asked is asked anew."""
        super().forget()
        self._resume()

    def _open(self, sock: socket.socket, replica_id: str) -> Channel:
        return Channel(sock, replica_id, self._terms, self._gone)

    def _gone(self, channel: Channel, wrong: str) -> None:
        super()._gone(channel, wrong)
        self._loop.call_soon(self._resume)

    def _ask(self) -> None:
        if not self._refuses:
            super()._ask()

    def _load(self) -> tuple[int, int]:
        in_flight = sum(queue.running for queue in self._queues)
        return in_flight, sum(len(queue) for queue in self._queues)
