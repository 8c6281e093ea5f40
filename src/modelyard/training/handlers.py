"""What workers do for each kind of job before and after its task."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from modelyard.core.jobs import Job
from modelyard.core.tasks import Limits
from modelyard.training.attempt import Completion


class JobHandler(Protocol):
    """One kind of job."""

    @property
    def task(self) -> str:
        """The name of the task that does the work."""
        ...

    def prepare(self, job: Job, scratch: Path) -> Limits:
        """Put the task's spec and inputs into the folder; return what the task may use.

        Raises:
            ModelyardError: the job cannot be done; it fails with this.
        """
        ...

    def complete(self, job: Job, scratch: Path) -> Completion:
        """Store the files that the task has left, and return what is still to be written.

        The completion runs in the transaction that ends the job, so that it happens once.

        Raises:
            ModelyardError: the task's result is not what it should be; the job fails with this.
        """
        ...
