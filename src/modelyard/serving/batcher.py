"""Natural batching: whoever is free takes all that waits, in one call of the model.

No timer is needed for it. A lone request starts at once; while the model is busy the next batch
gathers by itself, so a busy model fills its batches. The event loop only gathers and hands out:
joining, running and splitting happen on a thread, with the interpreter's lock released for as
long as the model computes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial

import numpy as np

from modelyard.core.errors import DeadlineExceeded, ModelyardError, Unavailable
from modelyard.core.tensors import Tensor
from modelyard.serving.options import ServingOptions
from modelyard.serving.ports import Runtime
from modelyard.serving.stopping import StopSignal

Outputs = dict[str, Tensor]
Shapes = tuple[tuple[int, ...], ...]


class Waiting:
    """A request that waits for the model, or is in its hands.

    `answer` is cancelled by whoever loses interest; the request then leaves the queue, and a
    call that nobody waits for any more is stopped.
    """

    __slots__ = ("alone", "answer", "deadline", "inputs", "rows", "shapes")

    def __init__(
        self,
        inputs: Mapping[str, Tensor],
        rows: int,
        deadline: float,
        answer: asyncio.Future[Outputs],
    ) -> None:
        self.inputs = inputs
        self.rows = rows
        self.deadline = deadline
        self.answer = answer
        self.alone = False
        self.shapes: Shapes = tuple(tensor.shape[1:] for tensor in inputs.values())


class Batcher:
    """The queue before one loaded version of one deployment. Lives on one event loop.

    `stackable` says that the model treats each row by itself, so that rows of several requests
    may share a call. Deadlines are in the loop's own time.
    """

    def __init__(
        self,
        runtime: Runtime,
        options: ServingOptions,
        pool: Executor,
        *,
        stackable: bool,
    ) -> None:
        self._runtime = runtime
        self._options = options
        self._pool = pool
        self._most_rows = options.max_batch_size if stackable else 1
        self._stackable = stackable
        self._waiting: list[Waiting] = []
        self._busy = False
        self._starting: asyncio.Handle | None = None
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def submit(
        self, inputs: Mapping[str, Tensor], rows: int, deadline: float
    ) -> asyncio.Future[Outputs]:
        """Queue checked inputs; the future holds the outputs.

        It fails with Invalid when the model refuses the inputs and with DeadlineExceeded when
        their time is over. Cancelling it takes the request out.

        Raises:
            Unavailable: the queue is full.
        """
        if len(self._waiting) >= self._options.max_queue:
            self._drop_the_gone()
        if len(self._waiting) >= self._options.max_queue:
            raise Unavailable(
                f"{len(self._waiting)} requests already wait for this model; try again later"
            )
        waiting = Waiting(inputs, rows, deadline, self._loop.create_future())
        self._waiting.append(waiting)
        if not self._busy and self._starting is None:
            self._start_soon()
        return waiting.answer

    def _drop_the_gone(self) -> None:
        self._waiting = [each for each in self._waiting if not each.answer.done()]

    def _start_soon(self) -> None:
        """Start at the end of this tick, so that all requests of the tick can share a call."""
        delay = self._options.max_delay_ms / 1000
        if delay and self._gathered() < self._most_rows:
            self._starting = self._loop.call_later(delay, self._start)
        else:
            self._starting = self._loop.call_soon(self._start)

    def _gathered(self) -> int:
        return sum(each.rows for each in self._waiting)

    def _start(self) -> None:
        self._starting = None
        batch = self._take()
        if batch:
            self._busy = True
            call = _Call(batch, self._loop)
            running = self._loop.run_in_executor(self._pool, run, self._runtime, batch, call.stop)
            running.add_done_callback(partial(self._done, call))

    def _take(self) -> list[Waiting]:
        """The oldest request and all that can join it; the others keep their order."""
        now = self._loop.time()
        batch: list[Waiting] = []
        rest: list[Waiting] = []
        rows = 0
        for each in self._waiting:
            if each.answer.done():
                continue
            if each.deadline <= now:
                each.answer.set_exception(_too_late())
            elif not batch:
                batch.append(each)
                rows = each.rows
            elif self._joins(each, batch[0], rows):
                batch.append(each)
                rows += each.rows
            else:
                rest.append(each)
        self._waiting = rest
        return batch

    def _joins(self, each: Waiting, first: Waiting, rows: int) -> bool:
        return (
            self._stackable
            and not (each.alone or first.alone)
            and rows + each.rows <= self._most_rows
            and each.shapes == first.shapes
        )

    def _done(self, call: _Call, running: asyncio.Future[list[Outputs]]) -> None:
        call.end()
        self._busy = False
        if running.cancelled():
            call.fail(Unavailable("this gateway is stopping; send the request again"))
        elif (error := running.exception()) is None:
            call.succeed(running.result())
        elif len(call.batch) > 1:
            # One of them is to blame: each tries again by itself, and only that one fails.
            for each in call.batch:
                each.alone = True
            self._waiting = [*call.batch, *self._waiting]
        else:
            call.fail(error)
        if self._waiting:
            self._start()


class _Call:
    """A batch in the model's hands.

    The call is stopped once nobody waits for it: all have gone, or their time is over.
    """

    def __init__(self, batch: Sequence[Waiting], loop: asyncio.AbstractEventLoop) -> None:
        self.batch = batch
        self.stop = StopSignal()
        self._loop = loop
        for each in batch:
            each.answer.add_done_callback(self._one_less)
        self._timer = self._next_deadline(batch)

    def succeed(self, outputs: Sequence[Outputs]) -> None:
        for each, own in zip(self.batch, outputs, strict=True):
            if not each.answer.done():
                each.answer.set_result(own)

    def fail(self, error: BaseException) -> None:
        for each in self.batch:
            if not each.answer.done():
                each.answer.set_exception(error)

    def end(self) -> None:
        self._timer.cancel()
        for each in self.batch:
            each.answer.remove_done_callback(self._one_less)

    def _one_less(self, _: asyncio.Future[Outputs]) -> None:
        if all(each.answer.done() for each in self.batch):
            self.stop.set()

    def _next_deadline(self, waiting: Sequence[Waiting]) -> asyncio.TimerHandle:
        return self._loop.call_at(min(each.deadline for each in waiting), self._expire)

    def _expire(self) -> None:
        now = self._loop.time()
        for each in self.batch:
            if not each.answer.done() and each.deadline <= now:
                each.answer.set_exception(_too_late())
        later = [each for each in self.batch if not each.answer.done()]
        if later:
            self._timer = self._next_deadline(later)


def run(runtime: Runtime, batch: Sequence[Waiting], stop: StopSignal) -> list[Outputs]:
    """Join the requests' rows, call the model once, and give each its own rows back."""
    if len(batch) == 1:
        return [runtime.infer(batch[0].inputs, stop)]
    joined = {
        name: np.concatenate([each.inputs[name] for each in batch]) for name in batch[0].inputs
    }
    outputs = runtime.infer(joined, stop)
    total = sum(each.rows for each in batch)
    if any(len(tensor) != total for tensor in outputs.values()):
        raise NotRowByRow("the model does not answer row by row")
    parts, at = [], 0
    for each in batch:
        parts.append({name: tensor[at : at + each.rows] for name, tensor in outputs.items()})
        at += each.rows
    return parts


class NotRowByRow(ModelyardError):
    """The outputs of a batch cannot be told apart; each request is then run by itself."""


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("the request's time was over before the model had answered")
