"""The worker: takes jobs from the queue, one at a time, and runs each in a child process."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from modelyard.core.clock import Clock
from modelyard.core.errors import LostLease, ModelyardError, NotFound, Unavailable
from modelyard.core.jobs import Job, JobFailure
from modelyard.core.ports import Store
from modelyard.core.stopping import Stop
from modelyard.core.tasks import CRASHED, TIMED_OUT, Outcome, Progress, RunningTask, TaskRunner
from modelyard.training.attempt import Attempt, Pace
from modelyard.training.checkpoints import Checkpoints
from modelyard.training.handlers import JobHandler
from modelyard.training.ports import TrainingTransaction
from modelyard.training.scratch import ScratchRoot

TICK: Final = 0.2
"""Seconds after which a worker notices a cancel or a stop at the latest."""

logger = logging.getLogger(__name__)


class _Interrupted(Exception):
    """The attempt is to end although its task has not."""


class Worker:
    """Runs jobs until told to stop. `handlers` holds one per kind of job; `checkpoints` are what
    killed ones go on from.
    """

    def __init__(
        self,
        *,
        store: Store[TrainingTransaction],
        runner: TaskRunner,
        handlers: Mapping[str, JobHandler],
        scratch: ScratchRoot,
        checkpoints: Checkpoints,
        clock: Clock,
        worker_id: str,
        pace: Pace = Pace(),  # noqa: B008 - frozen
    ) -> None:
        self._store = store
        self._runner = runner
        self._handlers = handlers
        self._scratch = scratch
        self._checkpoints = checkpoints
        self._clock = clock
        self._worker_id = worker_id
        self._pace = pace
        self._reap_at = 0.0

    def run(self, stop: Stop) -> None:
        """Work until `stop` is set; a job at work then goes back to the queue.

        Runs in the thread that signals reach, as tasks die with the thread that started them.
        """
        self._scratch.sweep()
        self._sweep_checkpoints()
        delay = self._pace.retry
        while not stop.is_set():
            try:
                job = self._claim()
            except Exception as error:  # noqa: BLE001 - the queue may be away; we outlive that
                reason = f"{type(error).__name__}: {error}"[:500]
                logger.warning("cannot reach the queue", extra={"reason": reason})
                stop.wait(delay)
                delay = min(delay * 2, self._pace.retry_most)
                continue
            delay = self._pace.retry
            if job is None:
                stop.wait(self._pace.poll)
            else:
                self._work(job, stop)

    def _claim(self) -> Job | None:
        """The next job; now and then, those whose worker died come back to the queue first."""
        with self._store.begin() as tx:
            if self._clock.monotonic() >= self._reap_at:
                tx.queue().reap(self._clock.now())
                self._reap_at = self._clock.monotonic() + self._pace.reap
            return tx.queue().claim(self._worker_id, self._clock.now())

    def _work(self, job: Job, stop: Stop) -> None:
        context = {"job_id": job.id, "kind": job.kind, "attempt": job.attempt}
        logger.info("job started", extra=context)
        try:
            with (
                Attempt(job, self._store, self._clock, self._pace) as attempt,
                self._scratch.folder() as scratch,
            ):
                self._attempt(attempt, scratch, stop)
        except LostLease as error:
            logger.warning("job lost", extra=context | {"reason": error.message})
        else:
            logger.info("job left", extra=context)
        self._sweep_checkpoints()

    def _sweep_checkpoints(self) -> None:
        """Remove the checkpoints of jobs that are over, this worker's or another's."""

        def is_over(tenant_id: str, job_id: str) -> bool:
            try:
                with self._store.read() as tx:
                    return tx.jobs(tenant_id).get(job_id).state.final
            except NotFound:
                return True

        try:
            self._checkpoints.sweep(is_over)
        except Exception as error:  # noqa: BLE001 - the database may be away; there is a next time
            reason = f"{type(error).__name__}: {error}"[:500]
            logger.warning("cannot sweep checkpoints", extra={"reason": reason})

    def _attempt(self, attempt: Attempt, scratch: Path, stop: Stop) -> None:
        job = attempt.job
        handler = self._handlers.get(job.kind)
        if handler is None:
            message = f"this server knows no job of kind '{job.kind}'"
            attempt.fail(JobFailure("unsupported", message), stop)
            return
        attempt.tell([Progress("a worker begins")])
        try:
            limits = handler.prepare(job, scratch)
            self._checkpoints.put_back(job, scratch)
            running = self._runner.start(handler.task, scratch, limits)
            outcome = self._follow(running, attempt, scratch, stop)
            if outcome.ok:
                attempt.succeed(handler.complete(job, scratch), stop)
            elif outcome.crashed and outcome.code != TIMED_OUT:
                attempt.crash(JobFailure(outcome.code, outcome.message), stop)
            else:
                attempt.fail(JobFailure(outcome.code, outcome.message), stop)
        except LostLease:
            raise
        except _Interrupted:
            if attempt.cancelled:
                attempt.cancel(stop)
            else:
                attempt.hand_back(stop)
        except Unavailable as error:
            attempt.crash(JobFailure(error.code, error.message), stop)
        except ModelyardError as error:
            attempt.fail(JobFailure(error.code, error.message), stop)
        except Exception:
            # A full disk, no more processes, an error of ours: another attempt may fare better.
            logger.exception("attempt failed", extra={"job_id": job.id})
            message = "the worker could not carry the job through; its log says why"
            attempt.crash(JobFailure(CRASHED, message), stop)

    def _follow(self, running: RunningTask, attempt: Attempt, scratch: Path, stop: Stop) -> Outcome:
        try:
            while (outcome := running.outcome()) is None:
                attempt.tell(running.progress(TICK))
                attempt.check()
                self._checkpoints.keep(attempt.job, scratch)
                if stop.is_set() or attempt.cancelled:
                    raise _Interrupted
            attempt.tell(running.progress(0))
            return outcome
        finally:
            running.kill()
