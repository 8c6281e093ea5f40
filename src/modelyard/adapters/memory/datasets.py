"""Datasets and their versions."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from modelyard.adapters.memory.state import State, cut, cut_numbered
from modelyard.core import ids
from modelyard.core.errors import NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.training.dataset import Dataset, DatasetVersion, NewDatasetVersion
from modelyard.training.profile import DataProfile


class MemoryDatasets:
    """The datasets of one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def add_version(self, name: str, new: NewDatasetVersion, now: datetime) -> DatasetVersion:
        dataset = self._state.datasets.get((self._tenant_id, name))
        if dataset is None:
            dataset = Dataset(ids.new_id(ids.DATASET), name, now, latest=0)
        elif self.version(name).digest == new.digest:
            return self.version(name)
        dataset = replace(dataset, latest=dataset.latest + 1)
        version = DatasetVersion(
            id=ids.new_id(ids.DATASET),
            dataset=name,
            number=dataset.latest,
            created_at=now,
            **{field: getattr(new, field) for field in new.__struct_fields__},
        )
        self._state.datasets[self._tenant_id, name] = dataset
        self._state.dataset_versions[self._tenant_id, name, version.number] = version
        return version

    def add_profile(self, version_id: str, profile: DataProfile) -> None:
        self._state.profiles.setdefault((self._tenant_id, version_id), profile)

    def profile(self, version_id: str) -> DataProfile | None:
        return self._state.profiles.get((self._tenant_id, version_id))

    def get(self, name: str) -> Dataset:
        try:
            return self._state.datasets[self._tenant_id, name]
        except KeyError:
            raise NotFound(f"there is no dataset '{name}'") from None

    def list(self, page: PageRequest) -> Page[Dataset]:
        own = (
            dataset
            for (tenant_id, _), dataset in self._state.datasets.items()
            if tenant_id == self._tenant_id
        )
        return cut(own, page, lambda dataset: dataset.name)

    def version(self, name: str, number: int | None = None) -> DatasetVersion:
        dataset = self.get(name)
        number = dataset.latest if number is None else number
        try:
            return self._state.dataset_versions[self._tenant_id, name, number]
        except KeyError:
            raise NotFound(f"dataset '{name}' has no version {number}") from None

    def versions(self, name: str, page: PageRequest) -> Page[DatasetVersion]:
        self.get(name)
        own = (
            version
            for (tenant_id, dataset, _), version in self._state.dataset_versions.items()
            if (tenant_id, dataset) == (self._tenant_id, name)
        )
        return cut_numbered(own, page, lambda version: version.number)
