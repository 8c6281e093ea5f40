"""Datasets: named, versioned, content-addressed tables with an inferred schema."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class ColumnType(StrEnum):
    """The types that columns are inferred to."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    STRING = "string"
    DATETIME = "datetime"
    IMAGE = "image"
    """A picture's file."""


class Picture(msgspec.Struct, frozen=True):
    """What the pictures of a column are like: the middle one's size in pixels, by each side; 1
    channel where all are grey, else 3.
    """

    width: int
    height: int
    channels: int


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column: its type and what its values look like.

    `minimum`, `maximum` and `mean` are set for numbers (and the first two, as text, for times);
    `mean_words` for strings, `picture` for images.
    """

    name: str
    type: ColumnType
    missing: int
    distinct: int
    minimum: float | str | None = None
    maximum: float | str | None = None
    mean: float | None = None
    mean_words: float | None = None
    picture: Picture | None = None


class FileFormat(StrEnum):
    """The files that are read."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"
    CONLL = "conll"
    """Tokens with their tags."""
    IMAGES = "images"
    """A ZIP archive of pictures."""


class Inspection(msgspec.Struct, frozen=True):
    """What reading a file found: its format and table. `preview` holds the first rows; `warnings`
    say what was left out.
    """

    format: FileFormat
    rows: int
    columns: tuple[Column, ...]
    preview: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...] = ()


class DatasetVersion(msgspec.Struct, frozen=True):
    """One version. `digest` is the original file's, `table` that of the same rows as Parquet."""

    id: str
    dataset: str
    number: int
    created_at: datetime
    filename: str
    size: int
    digest: str
    table: str
    inspection: Inspection


class NewDatasetVersion(msgspec.Struct, frozen=True):
    """A version before it has a number."""

    filename: str
    size: int
    digest: str
    table: str
    inspection: Inspection


class Dataset(msgspec.Struct, frozen=True):
    """A dataset. `latest` is the number of its newest version."""

    id: str
    name: str
    created_at: datetime
    latest: int
