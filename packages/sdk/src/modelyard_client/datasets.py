"""Datasets: named, versioned tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard_client.files import send_path
from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route

READ_SECONDS: Final = 600.0
"""The server reads a new file through before it answers."""


class Picture(msgspec.Struct, frozen=True):
    """The middle size of a column of pictures, in pixels; 1 channel if all are grey, else 3."""

    width: int
    height: int
    channels: int


class Column(msgspec.Struct, frozen=True):
    """One column: its inferred type and what its values look like."""

    name: str
    type: str
    missing: int
    distinct: int
    minimum: float | str | None = None
    maximum: float | str | None = None
    mean: float | None = None
    mean_words: float | None = None
    picture: Picture | None = None


class Inspection(msgspec.Struct, frozen=True):
    """What the server found in the file."""

    format: str
    rows: int
    columns: list[Column]
    preview: list[dict[str, Any]] = []
    warnings: list[str] = []


class DatasetVersion(msgspec.Struct, frozen=True):
    """One version of a dataset. `digest` is the file's SHA-256, `size` is in bytes."""

    id: str
    dataset: str
    number: int
    created_at: datetime
    filename: str
    size: int
    digest: str
    inspection: Inspection


class Counted(msgspec.Struct, frozen=True):
    """A value and how many rows have it."""

    value: str
    rows: int


class Histogram(msgspec.Struct, frozen=True):
    """Counts of numbers between one edge and the next."""

    edges: list[float]
    counts: list[int]


class ColumnProfile(msgspec.Struct, frozen=True):
    """How one column is distributed: numbers by quantiles, words by their most frequent values."""

    name: str
    type: str
    missing: int
    distinct: int
    quantiles: dict[str, float | str] = {}
    deviation: float | None = None
    histogram: Histogram | None = None
    outliers: int = 0
    top: list[Counted] = []
    lengths: dict[str, float] = {}


class DataProfile(msgspec.Struct, frozen=True):
    """How a version is distributed, and warnings of what could mislead a training."""

    rows: int
    columns: list[ColumnProfile]
    duplicates: int = 0
    warnings: list[str] = []


class Dataset(msgspec.Struct, frozen=True):
    """A dataset. `latest` is the number of its newest version."""

    id: str
    name: str
    created_at: datetime
    latest: int


class Datasets:
    """`/api/v1/datasets`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add(self, name: str, path: str | Path) -> DatasetVersion:
        """Upload a CSV, Parquet, JSON Lines or CoNLL file as the newest version of `name`.

        Pictures come as a folder or a ZIP archive: a folder of them for each class, or a table
        that names their files.
        """
        file = Path(path)
        upload = send_path(self._transport, file)
        body = {"name": name, "upload": upload.digest, "filename": file.resolve().name}
        return self._transport.request(
            "POST", route("datasets"), DatasetVersion, body=body, timeout=READ_SECONDS
        )

    def get(self, name: str) -> Dataset:
        """One dataset."""
        return self._transport.request("GET", route("datasets", name), Dataset)

    def versions(self, name: str, limit: int = 1000) -> Sequence[DatasetVersion]:
        """Its versions, newest first."""
        path = route("datasets", name, "versions")
        return collect(self._transport, path, Page[DatasetVersion], limit)

    def version(self, name: str, number: int | None = None) -> DatasetVersion:
        """The numbered version, or the newest."""
        number = self.get(name).latest if number is None else number
        path = route("datasets", name, "versions", number)
        return self._transport.request("GET", path, DatasetVersion)

    def profile(self, name: str, number: int | None = None) -> DataProfile:
        """How the columns of the numbered version, or the newest, are distributed."""
        number = self.get(name).latest if number is None else number
        path = route("datasets", name, "versions", number, "profile")
        return self._transport.request("GET", path, DataProfile)

    def list(self, limit: int = 1000) -> Sequence[Dataset]:
        """All datasets, by name."""
        return collect(self._transport, route("datasets"), Page[Dataset], limit)
