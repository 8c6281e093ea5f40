"""A gateway's end of the socket to one replica: one call at a time, nothing believed unseen."""

from __future__ import annotations

import array
import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from modelyard.core.errors import (
    DeadlineExceeded,
    Invalid,
    ModelFailed,
    ModelyardError,
    NotBegun,
    ReplicaDied,
)
from modelyard.core.tensors import Signature, Tensor
from modelyard.serving.replica import answers
from modelyard.serving.replica.frames import BrokenFrame, pack
from modelyard.serving.replica.memory import MOST, WORTHWHILE, SharedMemory
from modelyard.serving.replica.messages import (
    FROM_REPLICA,
    Answer,
    Call,
    Cancel,
    Failure,
    Share,
    lay_out,
    read_tensors,
)
from modelyard.serving.replica.replica_socket import ReplicaSocket

Outputs = dict[str, Tensor]


class Terms(msgspec.Struct, frozen=True):
    """What a replica is held to.

    `rowwise`: each row is answered by itself, so there are as many rows in the answer as in the
    call. An answer of more than `max_answer` bytes, or none within `patience` seconds of the
    call, ends the channel.
    """

    signature: Signature
    rowwise: bool
    patience: float
    max_answer: int


class Channel(ReplicaSocket):
    """Lives on one event loop. `last_used` is when the last call was answered, on its clock.

    Where the replica ends, or breaks the protocol, the call fails and `closed` is told.
    """

    def __init__(
        self,
        sock: socket.socket,
        replica_id: str,
        terms: Terms,
        closed: Callable[[Channel, str], None],
    ) -> None:
        super().__init__(
            sock,
            replica_id,
            kinds=FROM_REPLICA,
            max_payload=terms.max_answer,
            patience=terms.patience,
            closed=partial(closed, self),
        )
        self.last_used = 0.0
        self._terms = terms
        self._memory: SharedMemory | None = None
        self._number = 0
        self._call: asyncio.Future[Outputs] | None = None
        self._rows = 0
        self._sent = True

    @property
    def busy(self) -> bool:
        """Whether a call is under way; it may be one that nobody waits for any more."""
        return self._call is not None

    def call(
        self, inputs: Mapping[str, Tensor], rows: int, seconds: float
    ) -> asyncio.Future[Outputs]:
        """Have the model run on checked inputs, for at most `seconds`. Only if not busy.

        The future is never cancelled. It fails with

            Invalid: the model refuses the inputs.
            ModelFailed: it failed, or its answer does not agree with the signature.
            DeadlineExceeded: the time is over.
            NotBegun: the replica ended before it had the call.
            ReplicaDied: it ended while it had the call.
        """
        self._number += 1
        self._rows = rows
        self._sent = False
        self._since = time.monotonic()
        self._call = future = self._loop.create_future()
        heads, payload = lay_out(inputs)
        size = sum(head.size for head in heads)
        shared = WORTHWHILE <= size <= MOST and self._share(size, payload)
        call = Call(self._number, heads, max(1, round(seconds * 1000)), shared=shared)
        self._send(pack(call, () if shared else payload))
        self._be_patient()
        return future

    def cancel(self, call: asyncio.Future[Outputs]) -> None:
        """Nobody waits for it any more. The channel is busy until the replica has said so too."""
        if self._call is call:
            self._send(pack(Cancel(self._number)))

    # Sending

    def _share(self, size: int, payload: list[memoryview]) -> bool:
        """Lay the inputs in shared memory, making it first if need be; False if they cannot."""
        if self._memory is None or self._memory.half < size:
            if self._out:
                return False
            if self._memory is not None:
                self._memory.close()
                self._memory = None
            memory = SharedMemory(size)
            descriptors = array.array("i", [memory.descriptor])
            first = b"".join(pack(Share(2 * memory.half)))
            try:
                sent = self._sock.sendmsg(
                    [first], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
                )
            except OSError:
                # The socket is full, or at its end: the call that comes after it will see.
                memory.close()
                return False
            memory.sent()
            self._memory = memory
            if sent < len(first):
                self._send([first[sent:]])
        self._memory.write(payload)
        return True

    def _flush(self) -> None:
        super()._flush()
        if not self._out:
            self._sent = True

    # Receiving

    def _receive(self, data: bytes) -> None:
        for message, payload in self._reader.feed(data):
            self._take(message, payload)

    def _take(self, message: Any, payload: memoryview) -> None:
        """One message of the replica's. Raises BrokenFrame for one that is not due."""
        if self._call is None or message.id != self._number:
            raise BrokenFrame("it answered what it was not asked")
        if isinstance(message, Answer):
            self._finish(self._outputs(message, payload))
        elif isinstance(message, Failure):
            if payload.nbytes:
                raise BrokenFrame("it sent tensors with a failure")
            self._finish(_error(message))
        else:
            raise BrokenFrame("it streamed what it was asked to answer at once")

    def _outputs(self, answer: Answer, payload: memoryview) -> Outputs | ModelyardError:
        if answer.shared:
            if self._memory is None or payload.nbytes:
                raise BrokenFrame("it answered in memory that is not shared")
            size = sum(head.size for head in answer.outputs)
            if size > self._terms.max_answer:
                raise BrokenFrame(f"an answer of {size} bytes is over {self._terms.max_answer}")
            payload = self._memory.read(size)
        try:
            outputs = read_tensors(answer.outputs, payload)
            rows = self._rows if self._terms.rowwise else None
            answers.check(self._terms.signature, outputs, rows)
        except Invalid as error:
            return ModelFailed(f"the model's answer cannot be read: {error.message}")
        except ModelFailed as error:
            return error
        return outputs

    def _finish(self, outcome: Outputs | ModelyardError) -> None:
        call, self._call = self._call, None
        self.last_used = time.monotonic()
        if self._memory is not None:
            self._memory.rest()
        assert call is not None  # noqa: S101 - _take has looked
        if isinstance(outcome, ModelyardError):
            call.set_exception(outcome)
        else:
            call.set_result(outcome)

    # Ending

    def _too_late(self) -> str:
        return f"it did not answer within {self._patience:g} seconds"

    def _over(self, tell: Callable[[], None]) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        call, self._call = self._call, None
        if call is not None:
            # What was not sent to the end cannot have begun.
            call.set_exception(_died() if self._sent else NotBegun("the model's process ended"))
        tell()


def _died() -> ReplicaDied:
    return ReplicaDied("the model's process ended while it had the request; try again")


def _error(failure: Failure) -> ModelyardError:
    """A replica's failure as an error of ours: it has no say in what kind that is, beyond whose
    fault it was.
    """
    message = answers.said(failure.message)
    if failure.code == Invalid.code:
        return Invalid(message)
    if failure.code == DeadlineExceeded.code:
        return DeadlineExceeded("the request's time was over before the model had answered")
    return ModelFailed(f"the model failed: {message}")
