"""A language model in processes of its own, as a gateway sees it.

Unlike `serving.replica.remote`, it gives a replica any number of calls at once: the engine makes
its batches itself. While there is no replica, calls wait here, and the runtime host is asked for
one: that is what wakes a cold model.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import deque
from collections.abc import Mapping
from typing import Final

from modelyard.core.errors import DeadlineExceeded, ModelyardError, Unavailable
from modelyard.core.tensors import Tensor
from modelyard.serving.batch import Batch, Parts
from modelyard.serving.language.answers import answered
from modelyard.serving.language.generation import (
    ContextOverflow,
    Finish,
    Generation,
    Reason,
    written,
)
from modelyard.serving.language.ports import Listener, Spoken
from modelyard.serving.language.shares import Shares
from modelyard.serving.replica.channel import Terms
from modelyard.serving.replica.language_channel import LanguageChannel, RemoteCall
from modelyard.serving.replica.remote_model import RemoteModel, ReplicaHost
from modelyard.serving.runner import Queue

MAX_ASKED: Final = 768 << 10
"""Bytes of a generation as it is sent: it has to fit into the head of a frame."""
MOST_CALLS: Final = 256
"""Calls that run or wait, of one model and one tenant in one gateway; more are refused."""
SPARE_CALLS: Final = 128
"""The same beside these, for other tenants."""
LEAST_PATIENCE: Final = 60.0


class RemoteSpeaker(RemoteModel[LanguageChannel]):
    """A `Speaker`, and a `Runner` for those who ask it as any other model."""

    def __init__(self, terms: Terms, host: ReplicaHost) -> None:
        super().__init__(host)
        self.call_seconds = math.inf
        self.row_seconds = 0.0
        self.stackable = False
        self._patience = max(terms.patience, LEAST_PATIENCE)
        self._waiting: deque[_Held] = deque()
        self._shares = Shares(MOST_CALLS, SPARE_CALLS)

    def speak(self, asked: Generation, seconds: float, listener: Listener) -> Spoken:
        """Begin a generation at the replica that has least to do, or once there is one.

        Raises:
            ContextOverflow: it is far longer than any context.
            Unavailable: there is nobody to run it, nor will be soon, or too many wait already.
        """
        sent = written(asked)
        if len(sent) > MAX_ASKED:
            raise ContextOverflow(
                f"the request has {len(sent)} bytes; a model's context holds far fewer than "
                f"{MAX_ASKED}"
            )
        if self._refuses:
            raise self._refusal
        if not self._shares.may_take(asked.tenant):
            raise Unavailable("too many requests wait for this model already", retry_after=1)
        self._shares.take(asked.tenant)
        counted = _Counted(self, asked.tenant, listener)
        held = _Held(sent, self._loop.time() + seconds, counted)
        self._tell_soon()
        channel = self._free()
        if channel is not None:
            held.begin(channel, self._loop.time())
        else:
            self._waiting.append(held)
            self._ask()
        return held

    # As a Runner

    def attach(self, queue: Queue) -> None:
        """Nobody needs to be told: there is always room."""

    def admit(self, inputs: Mapping[str, Tensor]) -> object:
        """Raises Unavailable when there is nobody, nor will be soon."""
        if self._refuses:
            raise self._refusal
        return None

    def has_room(self, running: int) -> bool:
        """There is always room: whoever cannot run yet waits here."""
        return True

    def run(self, batch: Batch) -> asyncio.Future[Parts]:
        """The likeliest answer to each prompt."""
        return answered(batch, self)

    # What the runtime host says

    def prepared(self, terms: Terms) -> None:
        """It can be asked, or again; on these terms from the next replica on."""
        self._patience = max(terms.patience, LEAST_PATIENCE)
        super().prepared(terms)

    def forget(self) -> None:
        """The runtime host is gone, and its replicas with it: whatever was asked is asked anew."""
        super().forget()
        if self._waiting:
            self._ask()

    def close(self) -> None:
        """Let go of all replicas."""
        super().close()
        self._fail_waiting(Unavailable("this gateway is stopping; send the request again"))

    def ended(self, tenant: str) -> None:
        """A call of this tenant has ended."""
        self._answered += 1
        self._shares.give_back(tenant)
        for replica_id in list(self._draining):
            channel = self._channels.get(replica_id)
            if channel is not None and not len(channel):
                channel.close()

    def _open(self, sock: socket.socket, replica_id: str) -> LanguageChannel:
        return LanguageChannel(sock, replica_id, self._patience, self._gone)

    def _resume(self) -> None:
        if self._refuses:
            self._fail_waiting(self._refusal)
            return
        channel = self._free()
        while channel is not None and self._waiting:
            self._waiting.popleft().begin(channel, self._loop.time())
            channel = self._free()

    def _fail_waiting(self, error: ModelyardError) -> None:
        waiting, self._waiting = self._waiting, deque()
        for held in waiting:
            held.fail(error)

    def _free(self) -> LanguageChannel | None:
        fit = [each for id_, each in self._channels.items() if id_ not in self._draining]
        return min(fit, key=len) if fit else None

    @property
    def _in_flight(self) -> int:
        return sum(len(channel) for channel in self._channels.values())

    def _load(self) -> tuple[int, int]:
        now = self._loop.time()
        self._waiting = deque(held for held in self._waiting if not held.is_over(now))
        return self._in_flight, len(self._waiting)


class _Counted:
    """A listener whose end the speaker hears of."""

    def __init__(self, speaker: RemoteSpeaker, tenant: str, listener: Listener) -> None:
        self._speaker = speaker
        self._tenant = tenant
        self._listener = listener
        self.piece = listener.piece

    def finished(self, finish: Finish) -> None:
        self._listener.finished(finish)
        self._speaker.ended(self._tenant)

    def failed(self, error: ModelyardError) -> None:
        self._listener.failed(error)
        self._speaker.ended(self._tenant)


class _Held:
    """A call that waits for a replica, and then is one of it."""

    def __init__(self, asked: bytes, deadline: float, listener: _Counted) -> None:
        self._asked = asked
        self._deadline = deadline
        self._listener = listener
        self._call: RemoteCall | None = None
        self._over = False

    def begin(self, channel: LanguageChannel, now: float) -> None:
        if not self.is_over(now):
            self._call = channel.speak(self._asked, self._deadline - now, self._listener)

    def is_over(self, now: float) -> bool:
        """Whether nobody waits for it any more; who waited for too long is told here."""
        if not self._over and now >= self._deadline:
            self.fail(DeadlineExceeded("the request's time was over before a replica was there"))
        return self._over

    def fail(self, error: ModelyardError) -> None:
        if not self._over:
            self._over = True
            self._listener.failed(error)

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()
        elif not self._over:
            self._over = True
            self._listener.finished(Finish(Reason.CANCELLED, 0, 0))
