"""A language model in processes of its own, as a gateway sees it.

Unlike `serving.replica.remote`, it gives a replica any number of calls at once: the engine makes
its batches itself. While there is no replica, calls wait here, and the runtime host is asked for
one: that is what wakes a cold model.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import Final

from modelyard.core.errors import DeadlineExceeded, ModelyardError, Unavailable
from modelyard.core.tensors import Tensor
from modelyard.serving.batch import Batch, Parts, join, share
from modelyard.serving.language.answers import Answers
from modelyard.serving.language.generation import (
    ContextOverflow,
    Finish,
    Generation,
    Reason,
    written,
)
from modelyard.serving.language.model import PROMPT, TEXT, question
from modelyard.serving.language.ports import Listener, Spoken
from modelyard.serving.replica.channel import Terms
from modelyard.serving.replica.language_channel import LanguageChannel, RemoteCall
from modelyard.serving.replica.remote import FOR_GOOD, REPORT, ReplicaHost
from modelyard.serving.runner import Queue

MAX_ASKED: Final = 768 << 10
"""Bytes of a generation as it is sent: it has to fit into the head of a frame."""
MOST_CALLS: Final = 256
"""Calls that run or wait, of one model in one gateway; more are refused."""
LEAST_PATIENCE: Final = 60.0


class RemoteSpeaker:
    """A `Speaker`, and a `Runner` for those who ask it as any other model.

    `failure` tells why it cannot be asked at present; empty while it can.
    """

    def __init__(self, terms: Terms, host: ReplicaHost) -> None:
        self.call_seconds = math.inf
        self.row_seconds = 0.0
        self.stackable = False
        self.failure = ""
        self._patience = max(terms.patience, LEAST_PATIENCE)
        self._host = host
        self._channels: dict[str, LanguageChannel] = {}
        self._draining: set[str] = set()
        self._waiting: deque[_Held] = deque()
        self._asked = self._retired = False
        self._refusal = Unavailable("")
        self._refused_until = 0.0
        self._answered = 0
        self._told = 0.0
        self._telling: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

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
        if self._in_flight + len(self._waiting) >= MOST_CALLS:
            raise Unavailable("too many requests wait for this model already", retry_after=1)
        held = _Held(sent, self._loop.time() + seconds, _Counted(self, listener))
        self._tell_soon()
        channel = self._free()
        if channel is not None:
            held.begin(channel, self._loop.time())
        else:
            self._waiting.append(held)
            self._ask()
        return held

    # As a Runner

    @property
    def replicas(self) -> int:
        """How many replicas there are, as far as this gateway knows."""
        return len(self._channels)

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

    def wake(self) -> None:
        """Ask for a replica if there is none."""
        if not self._channels:
            self._ask()

    def run(self, batch: Batch) -> asyncio.Future[Parts]:
        """The likeliest answer to each prompt."""
        outcome: asyncio.Future[Parts] = self._loop.create_future()
        requests = batch.unanswered()
        if not requests:
            outcome.set_result([])
            return outcome
        batch.began = time.monotonic()
        prompts = join(requests)[PROMPT]
        batch.rows = len(prompts)
        seconds = max(each.deadline for each in requests) - batch.began

        def done(error: ModelyardError | None) -> None:
            batch.ended = time.monotonic()
            if outcome.done():
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(share(requests, {TEXT: answers.tensor}))

        answers = Answers(len(prompts), done)
        answers.begin(self, [question(str(prompt)) for prompt in prompts], seconds)
        batch.stop.on_set(answers.cancel)
        return outcome

    # What the runtime host says

    def prepared(self, terms: Terms) -> None:
        """It can be asked, or again."""
        self._patience = max(terms.patience, LEAST_PATIENCE)
        self.failure = ""
        self._refused_until = 0.0

    def connected(self, replica_id: str, sock: socket.socket) -> None:
        """Here is a channel to a replica, asked for or not."""
        self._asked = False
        if replica_id in self._channels:
            sock.close()
            return
        channel = LanguageChannel(sock, replica_id, self._patience, self._gone)
        self._channels[replica_id] = channel
        waiting, self._waiting = self._waiting, deque()
        for held in waiting:
            held.begin(self._free() or channel, self._loop.time())

    def refused(self, reason: str, retry_after: float) -> None:
        """There is no channel to be had for now: whoever waits for one waits in vain."""
        self._asked = False
        seconds = retry_after or FOR_GOOD
        self._refusal = Unavailable(reason, retry_after=max(1, math.ceil(seconds)))
        self._refused_until = self._loop.time() + seconds
        if not self._channels:
            self._fail_waiting(self._refusal)

    def failed(self, reason: str, retry_after: float) -> None:
        """The model cannot be loaded, or does not stay alive."""
        self.failure = reason
        self.refused(reason, retry_after)

    def drain(self, replica_id: str) -> None:
        """Give the replica nothing more, and let go of it when it has answered."""
        channel = self._channels.get(replica_id)
        if channel is None:
            self._host.released(replica_id, "")
        elif len(channel):
            self._draining.add(replica_id)
        else:
            channel.close()

    def forget(self) -> None:
        """The runtime host is gone, and its replicas with it: whatever was asked is asked anew."""
        self._asked = False
        for channel in list(self._channels.values()):
            channel.close()
        if self._waiting:
            self._ask()

    def retire(self) -> None:
        """No new request comes. Once those that are here have been answered, let go of all."""
        self._retired = True
        self._tell_soon()

    def revive(self) -> None:
        """Requests come again."""
        self._retired = False

    def close(self) -> None:
        """Let go of all replicas."""
        for channel in list(self._channels.values()):
            channel.close()
        self._fail_waiting(Unavailable("this gateway is stopping; send the request again"))
        if self._telling is not None:
            self._telling.cancel()

    def ended(self) -> None:
        """A call has ended."""
        self._answered += 1
        for replica_id in list(self._draining):
            channel = self._channels.get(replica_id)
            if channel is not None and not len(channel):
                channel.close()

    def _gone(self, channel: LanguageChannel, wrong: str) -> None:
        self._channels.pop(channel.replica_id, None)
        self._draining.discard(channel.replica_id)
        self._host.released(channel.replica_id, wrong)

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

    @property
    def _refuses(self) -> bool:
        return not self._channels and self._loop.time() < self._refused_until

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._host.connect()

    def _tell_soon(self) -> None:
        if self._telling is None:
            since = self._loop.time() - self._told
            self._telling = self._loop.call_later(max(0.0, REPORT - since), self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._told = self._loop.time()
        self._waiting = deque(held for held in self._waiting if not held.is_over(self._told))
        waiting, in_flight = len(self._waiting), self._in_flight
        self._host.load(in_flight, waiting, self._answered)
        if self._retired and not (waiting or in_flight):
            self.close()
            self._host.unwant()
            return
        if waiting or in_flight or self._answered:
            self._tell_soon()
        self._answered = 0


class _Counted:
    """A listener whose end the speaker hears of."""

    def __init__(self, speaker: RemoteSpeaker, listener: Listener) -> None:
        self._speaker = speaker
        self._listener = listener
        self.piece = listener.piece

    def finished(self, finish: Finish) -> None:
        self._listener.finished(finish)
        self._speaker.ended()

    def failed(self, error: ModelyardError) -> None:
        self._listener.failed(error)
        self._speaker.ended()


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
