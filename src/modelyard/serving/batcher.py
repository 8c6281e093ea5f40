"""Natural batching: whoever is free takes all that waits, in one call of the model.

No timer is needed for it. A lone request starts at once; while the model is busy the next batch
gathers by itself, so a busy model fills its batches. The event loop only gathers and hands out:
joining, running and splitting happen on a thread, with the interpreter's lock released for as
long as the model computes.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from functools import partial

from modelyard.core.errors import DeadlineExceeded, Unavailable
from modelyard.core.tensors import Tensor
from modelyard.serving.batch import Batch, NotRowByRow, Outputs, Waiting, run
from modelyard.serving.options import ServingOptions
from modelyard.serving.ports import Runtime
from modelyard.serving.slots import RouteMetrics
from modelyard.serving.tracing import INFERENCE, QUEUE, Attributes, Trace


class Batcher:
    """The queue before one loaded version of one deployment. Lives on one event loop, whose clock
    is `time.monotonic`, though a coarser one.

    Where the runtime is `stackable`, rows of several requests share a call.
    """

    def __init__(
        self, runtime: Runtime, options: ServingOptions, pool: Executor, metrics: RouteMetrics
    ) -> None:
        self._runtime = runtime
        self._pool = pool
        self._metrics = metrics
        self._max_queue = options.max_queue
        self._delay = options.max_delay_ms / 1000
        self._stackable = runtime.stackable
        self._most_rows = options.max_batch_size if runtime.stackable else 1
        self._waiting: list[Waiting] = []
        self._running: Batch | None = None
        self._starting: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and self._running is None

    def submit(
        self,
        inputs: Mapping[str, Tensor],
        rows: int,
        seconds: float,
        trace: Trace | None = None,
    ) -> asyncio.Future[Outputs]:
        """Queue checked inputs that must be answered within `seconds`; the future holds the
        outputs.

        It fails with Invalid when the model refuses the inputs and with DeadlineExceeded when
        their time is over. Cancelling it takes the request out.

        Raises:
            Unavailable: the queue is full.
        """
        if len(self._waiting) >= self._max_queue:
            self._drop_the_gone()
        if len(self._waiting) >= self._max_queue:
            raise Unavailable(
                f"{len(self._waiting)} requests already wait for this model; try again later"
            )
        now = time.monotonic()
        waiting = Waiting(inputs, rows, now, now + seconds, self._loop.create_future(), trace)
        self._waiting.append(waiting)
        if waiting.deadline < self._alarm_at:
            self._set_alarm(waiting.deadline)
        if self._running is None:
            self._start_soon()
        return waiting.answer

    def close(self) -> None:
        """Refuse what waits and stop what runs."""
        if self._running is not None:
            self._running.stop.set()
        self._refuse()

    def _drop_the_gone(self) -> None:
        self._waiting = [each for each in self._waiting if not each.answer.done()]

    # Starting

    def _start_soon(self) -> None:
        """Start at the end of this tick, so that all requests of the tick can share a call; or
        later, when company is wanted.
        """
        company_at = self._company_at()
        if self._starting is not None:
            if company_at or not self._delay:
                return
            # It was to wait for company, which has come.
            self._starting.cancel()
        if company_at:
            self._starting = self._loop.call_at(company_at, self._start)
        else:
            self._starting = self._loop.call_soon(self._start)

    def _company_at(self) -> float:
        """Until when a batch that is not full waits for company; 0.0 if it does not."""
        if not self._delay or sum(each.rows for each in self._waiting) >= self._most_rows:
            return 0.0
        return self._waiting[0].since + self._delay

    def _start(self) -> None:
        self._starting = None
        requests = self._take()
        if not requests:
            self._rest()
            return
        batch = Batch(requests)
        try:
            running = self._loop.run_in_executor(self._pool, run, self._runtime, batch)
        except RuntimeError:
            # The threads are gone: this gateway stops.
            self._refuse(requests)
            return
        self._running = batch
        running.add_done_callback(partial(self._done, batch))

    def _take(self) -> list[Waiting]:
        """The oldest request and all that can join it; the others keep their order."""
        taken: list[Waiting] = []
        rest: list[Waiting] = []
        rows = 0
        for each in self._waiting:
            if each.answer.done():
                continue
            if not taken or self._joins(each, taken[0], rows):
                taken.append(each)
                rows += each.rows
            else:
                rest.append(each)
        self._waiting = rest
        return taken

    def _joins(self, each: Waiting, first: Waiting, rows: int) -> bool:
        return (
            self._stackable
            and rows + each.rows <= self._most_rows
            and each.group is first.group
            and each.shapes == first.shapes
        )

    # Ending

    def _done(self, batch: Batch, running: asyncio.Future[list[tuple[Waiting, Outputs]]]) -> None:
        batch.end()
        self._running = None
        if running.cancelled():
            self._refuse(batch.requests)
        elif (error := running.exception()) is None:
            for each, outputs in running.result():
                if not each.answer.done():
                    each.answer.set_result(outputs)
        elif len(batch.requests) > 1:
            self._divide(batch.requests, error)
        else:
            _fail(batch.requests, error)
        self._observe(batch)
        if not self._waiting:
            self._rest()
        elif self._company_at() > time.monotonic():
            self._start_soon()
        else:
            self._start()

    def _divide(self, requests: list[Waiting], error: BaseException) -> None:
        """One of them is to blame: each half tries again without the other, until it is alone."""
        if isinstance(error, NotRowByRow):
            self._stackable, self._most_rows = False, 1
        middle = len(requests) // 2
        for half in (requests[:middle], requests[middle:]):
            group = object()
            for each in half:
                each.group = group
        self._waiting = [*requests, *self._waiting]

    def _observe(self, batch: Batch) -> None:
        if batch.began:
            for each in batch.requests:
                self._metrics.queued(round((batch.began - each.since) * 1e6))
                if each.trace is not None:
                    each.trace.part(QUEUE, each.since, batch.began, {})
                    rows: Attributes = {"modelyard.batch.rows": batch.rows}
                    each.trace.part(INFERENCE, batch.began, batch.ended, rows)
            self._metrics.ran(batch.rows, round((batch.ended - batch.began) * 1e6))

    def _refuse(self, requests: Iterable[Waiting] = ()) -> None:
        waiting, self._waiting = self._waiting, []
        stopping = Unavailable("this gateway is stopping; send the request again")
        _fail([*requests, *waiting], stopping)
        self._rest()

    # Deadlines

    def _set_alarm(self, at: float) -> None:
        """One alarm for all: it goes off at the earliest deadline."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(at, self._expire)
        self._alarm_at = at

    def _rest(self) -> None:
        """Nothing is left: hold on to nothing that would keep this queue alive."""
        if self._alarm is not None and self.idle:
            self._alarm.cancel()
            self._alarm, self._alarm_at = None, math.inf

    def _expire(self) -> None:
        now, running = time.monotonic(), self._running
        unanswered = self._waiting if running is None else [*running.requests, *self._waiting]
        _fail(
            [each for each in unanswered if each.deadline <= now],
            DeadlineExceeded("the request's time was over before the model had answered"),
        )
        self._drop_the_gone()
        self._alarm, self._alarm_at = None, math.inf
        left = [each.deadline for each in unanswered if not each.answer.done()]
        if left:
            self._set_alarm(min(left))


def _fail(requests: Iterable[Waiting], error: BaseException) -> None:
    for each in requests:
        if not each.answer.done():
            each.answer.set_exception(error)
