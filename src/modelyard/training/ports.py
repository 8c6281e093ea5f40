"""What this room needs from the store."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from modelyard.core.jobs import JobQueue, JobRepository
from modelyard.core.pages import Page, PageRequest
from modelyard.core.uploads import UploadRepository
from modelyard.registry.ports import ModelRepository
from modelyard.training.dataset import Dataset, DatasetVersion, NewDatasetVersion
from modelyard.training.profile import DataProfile


class DatasetRepository(Protocol):
    """The datasets of one tenant."""

    def add_version(self, name: str, new: NewDatasetVersion, now: datetime) -> DatasetVersion:
        """Add a version, making the dataset if need be.

        The same bytes as the newest version's make no new one: that version is returned.
        """
        ...

    def get(self, name: str) -> Dataset:
        """Raises NotFound."""
        ...

    def list(self, page: PageRequest) -> Page[Dataset]:
        """By name."""
        ...

    def version(self, name: str, number: int | None = None) -> DatasetVersion:
        """The numbered version, or the newest. Raises NotFound."""
        ...

    def versions(self, name: str, page: PageRequest) -> Page[DatasetVersion]:
        """Newest first. Raises NotFound for the dataset."""
        ...

    def add_profile(self, version_id: str, profile: DataProfile) -> None:
        """Keep the profile of a version of this tenant, unless it has one."""
        ...

    def profile(self, version_id: str) -> DataProfile | None:
        """The version's profile; None for one that was added before there were any."""
        ...


class TrainingTransaction(Protocol):
    """A transaction over uploads, datasets and jobs, and the models that jobs make."""

    def datasets(self, tenant_id: str) -> DatasetRepository: ...

    def uploads(self, tenant_id: str) -> UploadRepository: ...

    def jobs(self, tenant_id: str) -> JobRepository: ...

    def queue(self) -> JobQueue: ...

    def models(self, tenant_id: str) -> ModelRepository: ...

    def bump(self) -> None: ...
