"""Datasets and their versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select

from modelyard.adapters.store.tables import (
    MAX_NUMBER,
    dataset_profiles,
    dataset_versions,
    datasets,
)
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.core import ids
from modelyard.core.errors import NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.training.dataset import Dataset, DatasetVersion, NewDatasetVersion
from modelyard.training.profile import DataProfile

_DATASET: Final = tuple(datasets.c[name] for name in Dataset.__struct_fields__)
_VERSION: Final = (
    dataset_versions.c.id,
    datasets.c.name,
    *(dataset_versions.c[name] for name in DatasetVersion.__struct_fields__[2:]),
)


class SqlDatasets(TenantRows):
    """The datasets of one tenant."""

    def add_version(self, name: str, new: NewDatasetVersion, now: datetime) -> DatasetVersion:
        dataset = self._ensure(name, now)
        if dataset.latest:
            newest = self.version(name)
            if newest.digest == new.digest:
                return newest
        number = dataset.latest + 1
        self._connection.execute(
            self._update(datasets).where(datasets.c.id == dataset.id).values(latest=number)
        )
        self._connection.execute(
            self._insert(
                dataset_versions,
                id=ids.new_id(ids.DATASET),
                dataset_id=dataset.id,
                number=number,
                created_at=now,
                filename=new.filename,
                size=new.size,
                digest=new.digest,
                table=new.table,
                inspection=new.inspection,
            )
        )
        return self.version(name, number)

    def get(self, name: str) -> Dataset:
        return self._found(self._select(datasets, *_DATASET), name)

    def list(self, page: PageRequest) -> Page[Dataset]:
        statement = self._select(datasets, *_DATASET)
        if page.after is not None:
            statement = statement.where(datasets.c.name > page.after)
        rows = self._connection.execute(statement.order_by(datasets.c.name).limit(page.limit + 1))
        return Page.cut([Dataset(*row) for row in rows], page, lambda dataset: dataset.name)

    def version(self, name: str, number: int | None = None) -> DatasetVersion:
        dataset = self.get(name)
        number = dataset.latest if number is None else number
        row = None
        if number <= MAX_NUMBER:
            statement = self._select_versions(dataset)
            row = self._connection.execute(
                statement.where(dataset_versions.c.number == number)
            ).one_or_none()
        if row is None:
            raise NotFound(f"dataset '{name}' has no version {number}")
        return DatasetVersion(*row)

    def versions(self, name: str, page: PageRequest) -> Page[DatasetVersion]:
        statement = self._select_versions(self.get(name))
        after = page.after_number()
        if after is not None:
            statement = statement.where(dataset_versions.c.number < after)
        rows = self._connection.execute(
            statement.order_by(dataset_versions.c.number.desc()).limit(page.limit + 1)
        )
        return Page.cut(
            [DatasetVersion(*row) for row in rows], page, lambda version: str(version.number)
        )

    def add_profile(self, version_id: str, profile: DataProfile) -> None:
        self._added(dataset_profiles, version_id=version_id, profile=profile)

    def profile(self, version_id: str) -> DataProfile | None:
        statement = self._select(dataset_profiles, dataset_profiles.c.profile).where(
            dataset_profiles.c.version_id == version_id
        )
        found: DataProfile | None = self._connection.execute(statement).scalar_one_or_none()
        return found

    def _ensure(self, name: str, now: datetime) -> Dataset:
        """The dataset, made if need be, and locked: whoever adds to it at the same time waits."""
        self._added(datasets, id=ids.new_id(ids.DATASET), name=name, created_at=now, latest=0)
        return self._found(self._select_to_change(datasets, *_DATASET), name)

    def _found(self, statement: Select[Any], name: str) -> Dataset:
        row = self._connection.execute(statement.where(datasets.c.name == name)).one_or_none()
        if row is None:
            raise NotFound(f"there is no dataset '{name}'")
        return Dataset(*row)

    def _select_versions(self, dataset: Dataset) -> Select[Any]:
        return (
            self._select(dataset_versions, *_VERSION)
            .join(datasets, datasets.c.id == dataset_versions.c.dataset_id)
            .where(dataset_versions.c.dataset_id == dataset.id)
        )
