"""Checkpoints of jobs under way, so that the next attempt goes on where one was killed.

A task writes its checkpoint to its scratch folder, which dies with its worker. The worker gives the
file a second name outside, and puts it into the next attempt's folder. There is one for a job, at
most, and none for a job that is over. Workers that share no disk begin anew.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from modelyard.core.jobs import Job
from modelyard.training.watch import CHECKPOINT_FILE

MAX_BYTES: Final = 4 << 30
_SUFFIX: Final = ".pt"
_NEW: Final = ".new"
"""What a worker that was killed was about to keep."""

logger = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints in one folder, on the disk that scratch folders are on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, job: Job, scratch: Path) -> None:
        """Keep what the task has written last, if it has written one.

        The task replaces its file and never changes it, so that what is kept is whole.
        """
        written = scratch / CHECKPOINT_FILE
        try:
            found = written.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
                return
            kept = self._path(job)
            if kept.exists() and os.path.samestat(found, kept.stat()):
                return
            self._folder.mkdir(mode=0o700, exist_ok=True)
            new = kept.with_suffix(_NEW)
            new.unlink(missing_ok=True)
            new.hardlink_to(written)
            new.replace(kept)
        except FileNotFoundError:
            # It has written none, or is replacing it at this moment.
            return
        except OSError as error:
            logger.warning("a checkpoint cannot be kept", extra={"reason": str(error.strerror)})

    def put_back(self, job: Job, scratch: Path) -> None:
        """Put what was kept of the job's earlier attempts into the folder of this one."""
        kept = self._path(job)
        if kept.exists():
            (scratch / CHECKPOINT_FILE).hardlink_to(kept)

    def sweep(self, is_over: Callable[[str, str], bool]) -> None:
        """Remove those of jobs that are over, as `is_over` says of a tenant's id and a job's."""
        for kept in (*self._folder.glob(f"*{_SUFFIX}"), *self._folder.glob(f"*{_NEW}")):
            tenant_id, _, job_id = kept.stem.partition(".")
            if is_over(tenant_id, job_id):
                kept.unlink(missing_ok=True)

    def _path(self, job: Job) -> Path:
        return self._folder / f"{job.tenant_id}.{job.id}{_SUFFIX}"
