"""Natural batching: whoever is free takes all that waits, in one call of the model.

No timer is needed for it. A lone request starts at once; while the model is busy the next batch
gathers by itself, so a busy model fills its batches. The event loop only gathers and hands out:
joining, running and splitting happen on a thread, with the interpreter's lock released for as
long as the model computes. A model in processes of its own has a call under way in each of them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping
from functools import partial

from modelyard.core.errors import DeadlineExceeded, NotBegun, Unavailable
from modelyard.core.tensors import Tensor
from modelyard.serving.admission import Pace
from modelyard.serving.batch import Batch, Metered, NotRowByRow, Outputs, Parts, Waiting
from modelyard.serving.options import ServingOptions
from modelyard.serving.runner import Runner
from modelyard.serving.slots import RouteMetrics
from modelyard.serving.tracing import INFERENCE, QUEUE, Attributes, Trace


class Batcher:
    """The queue before one loaded version of one deployment. Lives on one event loop, whose clock
    is `time.monotonic`, though a coarser one.

    Where the model is `stackable`, rows of several requests share a call.
    """

    def __init__(self, runner: Runner, options: ServingOptions, metrics: RouteMetrics) -> None:
        self._runner = runner
        self._metrics = metrics
        self._max_queue = options.max_queue
        self._delay = options.max_delay_ms / 1000
        self._stackable = runner.stackable
        self._most_rows = options.max_batch_size if runner.stackable else 1
        self._waiting: list[Waiting] = []
        self._running: list[Batch] = []
        self._starting: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        self._pace = Pace()
        self._loop = asyncio.get_running_loop()
        runner.attach(self)

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and not self._running

    @property
    def running(self) -> int:
        """How many requests are in the model's hands."""
        return sum(len(batch.requests) for batch in self._running)

    @property
    def expected_seconds(self) -> float:
        """How long a request that came now would take, by the calls so far; 0.0 if it need not
        wait.
        """
        waiting, running = len(self._waiting), len(self._running)
        if not waiting and self._runner.has_room(running):
            return 0.0
        return self._pace.expected(waiting, running, self._most_rows)

    def submit(
        self,
        inputs: Mapping[str, Tensor],
        rows: int,
        seconds: float,
        trace: Trace | None = None,
        metered: Metered | None = None,
    ) -> asyncio.Future[Outputs]:
        """Queue checked inputs that must be answered within `seconds`; the future holds the
        outputs, and `metered` is told what the model took.

        It fails with Invalid when the model refuses the inputs and with DeadlineExceeded when
        their time is over. Cancelling it takes the request out.

        Raises:
            Unavailable: the queue is full.
            Poisonous: the same inputs have killed the model before.
        """
        if len(self._waiting) >= self._max_queue:
            self._drop_the_gone()
        if len(self._waiting) >= self._max_queue:
            raise Unavailable(
                f"{len(self._waiting)} requests already wait for this model; try again later",
                retry_after=max(1, math.ceil(self.expected_seconds)),
            )
        now = time.monotonic()
        waiting = Waiting(inputs, rows, now, now + seconds, self._loop.create_future(), trace)
        waiting.metered = metered
        waiting.group = self._runner.admit(inputs)
        self._waiting.append(waiting)
        if waiting.deadline < self._alarm_at:
            self._set_alarm(waiting.deadline)
        if self._runner.has_room(len(self._running)):
            self._start_soon()
        return waiting.answer

    def resume(self) -> None:
        """Go on with what waits: there is room."""
        if self._waiting and self._runner.has_room(len(self._running)):
            self._start_soon()

    def refuse(self, error: Exception) -> None:
        """Fail all that wait."""
        waiting, self._waiting = self._waiting, []
        _fail(waiting, error)
        self._rest()

    def close(self) -> None:
        """Refuse what waits and stop what runs."""
        for batch in self._running:
            batch.stop.set()
        self.refuse(_stopping())

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
        while self._waiting and self._runner.has_room(len(self._running)):
            requests = self._take()
            if requests:
                self._run(Batch(requests))
            if self._waiting and self._company_at() > time.monotonic():
                self._go_on()
                return
        self._rest()

    def _run(self, batch: Batch) -> None:
        try:
            running = self._runner.run(batch)
        except Unavailable as error:
            batch.end()
            _fail(batch.requests, error)
            return
        self._running.append(batch)
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

    def _done(self, batch: Batch, running: asyncio.Future[Parts]) -> None:
        batch.end()
        self._running.remove(batch)
        if running.cancelled():
            _fail(batch.requests, _stopping())
        elif (error := running.exception()) is None:
            for each, outputs in running.result():
                if not each.answer.done():
                    each.answer.set_result(outputs)
        elif isinstance(error, NotBegun):
            self._put_back(batch.requests, error)
        elif len(batch.requests) > 1 and not isinstance(error, Unavailable | DeadlineExceeded):
            self._divide(batch.requests, error)
        else:
            _fail(batch.requests, error)
        self._observe(batch)
        self._go_on()

    def _go_on(self) -> None:
        """Run what waits, if there is room: now, or when its company has had time to come."""
        if not self._waiting:
            self._rest()
        elif self._starting is None and self._runner.has_room(len(self._running)):
            if self._company_at() > time.monotonic():
                self._start_soon()
            else:
                self._start()

    def _put_back(self, requests: list[Waiting], error: NotBegun) -> None:
        """They go elsewhere, once: whoever is put back again has had bad luck enough."""
        again = [each for each in requests if not each.again]
        _fail([each for each in requests if each.again], error)
        for each in again:
            each.again = True
        self._waiting = [*again, *self._waiting]

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
                if each.metered is not None:
                    share = each.rows / max(batch.rows, 1)
                    each.metered.compute += round((batch.ended - batch.began) * 1e6 * share)
            took = batch.ended - batch.began
            self._metrics.ran(batch.rows, round(took * 1e6))
            self._pace.ran(took, len(batch.requests), batch.rows)

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
        now = time.monotonic()
        unanswered = [
            *(each for batch in self._running for each in batch.requests),
            *self._waiting,
        ]
        _fail(
            [each for each in unanswered if each.deadline <= now],
            DeadlineExceeded("the request's time was over before the model had answered"),
        )
        self._drop_the_gone()
        self._alarm, self._alarm_at = None, math.inf
        left = [each.deadline for each in unanswered if not each.answer.done()]
        if left:
            self._set_alarm(min(left))


def _stopping() -> Unavailable:
    return Unavailable("this gateway is stopping; send the request again")


def _fail(requests: Iterable[Waiting], error: BaseException) -> None:
    for each in requests:
        if not each.answer.done():
            each.answer.set_exception(error)
