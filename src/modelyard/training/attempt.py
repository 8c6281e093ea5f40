"""One worker's attempt at one job: keeps the lease, tells the story, and ends it once."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final

import msgspec

from modelyard.core.clock import Clock
from modelyard.core.errors import LostLease, ModelyardError, Unavailable
from modelyard.core.jobs import HEARTBEAT, Job, JobFailure, JobState
from modelyard.core.ports import Store
from modelyard.core.stopping import Stop
from modelyard.core.tasks import Progress
from modelyard.training.ports import TrainingTransaction
from modelyard.training.story import Story

Completion = Callable[[TrainingTransaction], dict[str, Any]]
"""Writes what a job has made and returns the job's result. It may be called again after a
rollback."""

STOPPING_TRIES: Final = 3

logger = logging.getLogger(__name__)


class Pace(msgspec.Struct, frozen=True):
    """How often a worker does what, in seconds."""

    poll: float = 0.25
    story: float = 1.0
    heartbeat: float = HEARTBEAT.total_seconds()
    reap: float = 5.0
    retry: float = 0.1
    retry_most: float = 5.0


class Attempt:
    """Between entering and leaving, a thread renews the lease and stores the story.

    A database that is away is tried again at the next turn; the task goes on meanwhile. If the
    lease runs out before it is back, the fence keeps this attempt from changing anything.
    """

    def __init__(
        self, job: Job, store: Store[TrainingTransaction], clock: Clock, pace: Pace
    ) -> None:
        self.job = job
        self._store = store
        self._clock = clock
        self._pace = pace
        self._story = Story()
        self._cancel = threading.Event()
        self._lost = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._pulse, name=f"pulse-{job.id}", daemon=True)

    def __enter__(self) -> Attempt:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def cancelled(self) -> bool:
        """Whether the job's user asked to stop it."""
        return self._cancel.is_set()

    def check(self) -> None:
        """Raises LostLease when the job has been given to another worker."""
        if self._lost.is_set():
            raise LostLease(f"job '{self.job.id}' was taken up by another worker")

    def tell(self, lines: Sequence[Progress]) -> None:
        """Add to the job's story."""
        self._story.add(lines)

    def succeed(self, complete: Completion, stop: Stop) -> None:
        """Store what the job made and its success in one transaction."""

        def end(tx: TrainingTransaction, cancelled: bool) -> None:
            if cancelled:
                self._finish(tx, JobState.CANCELLED)
            else:
                self._finish(tx, JobState.SUCCEEDED, result=complete(tx))

        self._settle(end, stop)

    def fail(self, failure: JobFailure, stop: Stop) -> None:
        """End the job: what was wrong would be wrong again."""
        self._settle(lambda tx, _: self._finish(tx, JobState.FAILED, failure=failure), stop)

    def cancel(self, stop: Stop) -> None:
        """End the job as its user asked."""
        self._settle(lambda tx, _: self._finish(tx, JobState.CANCELLED), stop)

    def crash(self, failure: JobFailure, stop: Stop) -> None:
        """Queue the job again; if this was its last attempt, it is dead and says why."""
        job = self.job
        self.tell([Progress(f"attempt {job.attempt} of {job.max_attempts}: {failure.message}")])

        def end(tx: TrainingTransaction, cancelled: bool) -> None:
            if job.attempt >= job.max_attempts and not cancelled:
                self._finish(tx, JobState.DEAD, failure=failure)
            else:
                tx.queue().release(job.id, job.fence, self._clock.now(), count=True)

        self._settle(end, stop)

    def hand_back(self, stop: Stop) -> None:
        """Queue the job again as if this attempt had not been: the worker is stopping."""
        job = self.job
        self._settle(
            lambda tx, _: tx.queue().release(job.id, job.fence, self._clock.now(), count=False),
            stop,
        )

    def _finish(
        self,
        tx: TrainingTransaction,
        state: JobState,
        *,
        result: dict[str, Any] | None = None,
        failure: JobFailure | None = None,
    ) -> None:
        tx.queue().finish(
            self.job.id, self.job.fence, self._clock.now(), state, result=result, failure=failure
        )

    def _settle(self, end: Callable[[TrainingTransaction, bool], object], stop: Stop) -> None:
        """End the attempt in one transaction, which first checks that the job is still ours.

        Tries again while the database is away. If that takes longer than the lease, the job goes
        to another worker and this ends with LostLease; a worker that is stopping gives up sooner
        and leaves the job to the end of its lease.
        """
        self._over.set()
        self._thread.join()
        lines, delay = self._story.take(), self._pace.retry
        for tries in itertools.count(1):
            try:
                with self._store.begin() as tx:
                    end(tx, self._beat(tx, lines))
                return
            except Unavailable as error:
                self._warn("cannot end a job yet", error)
            except ModelyardError:
                raise
            except Exception as error:
                # Not known to pass, but the lease bounds how long it is tried.
                lines = []
                logger.exception("cannot end a job yet", extra={"reason": str(error)[:500]})
            if stop.is_set() and tries >= STOPPING_TRIES:
                return
            (time.sleep if stop.is_set() else stop.wait)(delay)
            delay = min(delay * 2, self._pace.retry_most)

    def _pulse(self) -> None:
        beat_at = 0.0
        while not self._over.wait(self._pace.story):
            lines = self._story.take()
            if not lines and time.monotonic() < beat_at:
                continue
            try:
                with self._store.begin() as tx:
                    cancelled = self._beat(tx, lines)
            except LostLease:
                self._lost.set()
                return
            except Unavailable as error:
                self._warn("cannot renew a job's lease", error)
                self._story.put_back(lines)
                continue
            except Exception as error:
                # Perhaps it is the lines: the lease is worth more than they are.
                logger.exception("cannot renew a job's lease", extra={"reason": str(error)[:500]})
                continue
            beat_at = time.monotonic() + self._pace.heartbeat
            if cancelled:
                self._cancel.set()

    def _beat(self, tx: TrainingTransaction, lines: list[Progress]) -> bool:
        """Renew the lease and store the lines; whether the job should be cancelled."""
        queue, now = tx.queue(), self._clock.now()
        cancelled = queue.heartbeat(self.job.id, self.job.fence, now)
        if lines:
            queue.record(self.job.id, self.job.fence, now, lines)
        return cancelled

    def _warn(self, event: str, error: Exception) -> None:
        logger.warning(
            event,
            extra={"job_id": self.job.id, "reason": f"{type(error).__name__}: {error}"[:500]},
        )
