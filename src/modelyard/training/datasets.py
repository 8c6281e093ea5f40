"""Datasets: use cases. Files are read in a child process; here are only their names and facts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.clock import Clock
from modelyard.core.errors import Invalid, NotFound
from modelyard.core.names import check_name
from modelyard.core.pages import Page, PageRequest
from modelyard.core.ports import Blobs, Store
from modelyard.core.tasks import SPEC_FILE, TaskRunner
from modelyard.core.uploads import check_digest
from modelyard.training.dataset import Dataset, DatasetVersion, Inspection, NewDatasetVersion
from modelyard.training.outcomes import left_file, read_result, run_to_end
from modelyard.training.ports import TrainingTransaction
from modelyard.training.profile import DataProfile
from modelyard.training.scratch import ScratchRoot
from modelyard.training.spec import InspectSpec
from modelyard.training.tasks import PROFILE_FILE, TABLE_FILE

INSPECT: Final = "inspect"
UPLOAD_FILE: Final = "upload"
MAX_FILENAME: Final = 255


class DatasetService:
    """Adds and shows datasets. `runner` should have a time limit: callers wait for it."""

    def __init__(
        self,
        *,
        store: Store[TrainingTransaction],
        blobs: Blobs,
        runner: TaskRunner,
        scratch: ScratchRoot,
        clock: Clock,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._runner = runner
        self._scratch = scratch
        self._clock = clock

    def add(self, tenant_id: str, name: str, upload: str, filename: str) -> DatasetVersion:
        """Read an uploaded file and keep it as a version of the dataset, new or not.

        `upload` is the digest of a file that the tenant has uploaded. The same bytes as the newest
        version's make no new one.

        Raises:
            NotFound: the tenant has uploaded no such file.
            Invalid: a bad name, or a file that cannot be read: the message says where.
            TooLarge: reading the file takes more time or memory than there is.
            NotInstalled: pictures, which need a library that is missing here.
            UnsupportedFormat: neither CSV, Parquet, JSON Lines, CoNLL nor a ZIP of pictures.
        """
        check_name("dataset", name)
        check_filename(filename)
        check_digest(upload)
        with self._store.read() as tx:
            file = tx.uploads(tenant_id).get(upload)
            newest = _newest(tx, tenant_id, name)
        if newest is not None and newest.digest == upload:
            return newest
        with self._scratch.folder() as scratch:
            inspection, table = self._inspect(scratch, upload, filename)
            profile = read_result(scratch, DataProfile, PROFILE_FILE)
        new = NewDatasetVersion(filename, file.size, upload, table, inspection)
        with self._store.begin() as tx:
            datasets = tx.datasets(tenant_id)
            version = datasets.add_version(name, new, self._clock.now())
            datasets.add_profile(version.id, profile)
            return version

    def get(self, tenant_id: str, name: str) -> Dataset:
        """Raises NotFound."""
        with self._store.read() as tx:
            return tx.datasets(tenant_id).get(name)

    def list(self, tenant_id: str, page: PageRequest) -> Page[Dataset]:
        """The tenant's datasets by name."""
        with self._store.read() as tx:
            return tx.datasets(tenant_id).list(page)

    def version(self, tenant_id: str, name: str, number: int | None = None) -> DatasetVersion:
        """The numbered version, or the newest. Raises NotFound."""
        with self._store.read() as tx:
            return tx.datasets(tenant_id).version(name, number)

    def profile(self, tenant_id: str, name: str, number: int | None = None) -> DataProfile:
        """How the version's columns are distributed. Raises NotFound."""
        with self._store.read() as tx:
            datasets = tx.datasets(tenant_id)
            version = datasets.version(name, number)
            profile = datasets.profile(version.id)
        if profile is None:
            raise NotFound(
                f"dataset '{name}' version {version.number} has no profile: it is of an earlier "
                "release; add the file again under another name"
            )
        return profile

    def versions(self, tenant_id: str, name: str, page: PageRequest) -> Page[DatasetVersion]:
        """Newest first. Raises NotFound."""
        with self._store.read() as tx:
            return tx.datasets(tenant_id).versions(name, page)

    def _inspect(self, scratch: Path, digest: str, filename: str) -> tuple[Inspection, str]:
        self._blobs.fetch(digest, scratch / UPLOAD_FILE)
        spec = InspectSpec(file=UPLOAD_FILE, filename=filename)
        (scratch / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
        run_to_end(self._runner, INSPECT, scratch, f"file '{filename}'")
        inspection = read_result(scratch, Inspection)
        return inspection, self._blobs.put(left_file(scratch, TABLE_FILE))


def check_filename(filename: str) -> None:
    """Raises Invalid unless this is a plain file name, as its owner knows it."""
    if not 1 <= len(filename) <= MAX_FILENAME or not filename.isprintable() or "/" in filename:
        raise Invalid(
            f"filename {filename[:80]!r} must be 1 to {MAX_FILENAME} printable characters "
            "without a folder"
        )


def _newest(tx: TrainingTransaction, tenant_id: str, name: str) -> DatasetVersion | None:
    try:
        return tx.datasets(tenant_id).version(name)
    except NotFound:
        return None
