"""A worker process over SQLite with the small tasks of `word.py`, and what its tests share with it.

Time runs five times as fast, so that leases run out in three seconds.
"""

import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from modelyard.adapters.engine.runner import ProcessTaskRunner
from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.adapters.store import SqlStore, make_engine, sqlite_url
from modelyard.core.errors import Invalid
from modelyard.core.jobs import Job
from modelyard.core.stopping import StopFlag
from modelyard.core.tasks import Limits
from modelyard.registry.card import Card
from modelyard.registry.version import Lineage, NewVersion
from modelyard.training.attempt import Completion, Pace
from modelyard.training.checkpoints import Checkpoints
from modelyard.training.ports import TrainingTransaction
from modelyard.training.scratch import ScratchRoot
from modelyard.training.worker import Worker

TASK = str(Path(__file__).with_name("word.py"))
SPEED = 5
PACE = Pace(poll=0.05, story=0.1, heartbeat=0.3, reap=0.2, retry=0.05, retry_most=0.5)
START = datetime(2026, 1, 1, tzinfo=UTC)


class FastClock:
    """The host's clock, sped up; the same in every process."""

    def now(self) -> datetime:
        return START + timedelta(seconds=(time.time() - START.timestamp()) * SPEED)

    def monotonic(self) -> float:
        return time.monotonic()


class MakesVersion:
    """A job whose task writes a word, which becomes a model's version."""

    task = "word"

    def prepare(self, job: Job, scratch: Path) -> Limits:
        if job.spec.get("refuse"):
            raise Invalid("this job is refused")
        (scratch / "seconds").write_text(str(job.spec.get("seconds", 0)))
        (scratch / "how").write_text(str(job.spec.get("how", "well")))
        return Limits()

    def complete(self, job: Job, scratch: Path) -> Completion:
        word = (scratch / "word").read_text()

        def complete(tx: TrainingTransaction) -> dict[str, Any]:
            models, now = tx.models(job.tenant_id), FastClock().now()
            version = models.version_of_job(job.id)
            if version is None:
                models.ensure("words", now)
                lineage = Lineage(source="training", code_version="0", job_id=job.id)
                new = NewVersion(None, (), lineage, Card(task="none", algorithm=word))
                version = models.add_version("words", new, now)
            return {"version": version.number}

        return complete


def worker(home: Path, worker_id: str) -> Worker:
    return Worker(
        store=store_at(home),
        runner=ProcessTaskRunner(Sandbox(detect()), TASK, 2 << 30),
        handlers={"word": MakesVersion()},
        scratch=ScratchRoot(home / "scratch"),
        checkpoints=Checkpoints(home / "checkpoints"),
        clock=FastClock(),
        worker_id=worker_id,
        pace=PACE,
    )


def store_at(home: Path) -> SqlStore:
    return SqlStore(make_engine(sqlite_url(home / "modelyard.db")))


if __name__ == "__main__":
    stop = StopFlag()
    stop.on([signal.SIGTERM])
    worker(Path(sys.argv[1]), sys.argv[2]).run(stop)
