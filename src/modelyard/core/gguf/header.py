"""A GGUF file's head: its metadata and where its tensors lie, checked against the file's size.

Source: the format's specification, `docs/gguf.md` of ggml. Engines believe what a head says and
crash, or read beyond the file, when it is wrong; so it is all looked at here first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from modelyard.core.errors import Invalid, UnsupportedFormat
from modelyard.core.gguf.layouts import LAYOUTS, Layout
from modelyard.core.gguf.reading import HeadReader, Value

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MAX_TENSORS: Final = 1 << 16
MAX_ENTRIES: Final = 1 << 16
MAX_KEY: Final = 256
MAX_NAME: Final = 128
MAX_DIMENSIONS: Final = 4
MAX_ELEMENTS: Final = 1 << 48
DEFAULT_ALIGNMENT: Final = 32
MAX_ALIGNMENT: Final = 1 << 16


class TensorEntry(NamedTuple):
    """A tensor in the file. `offset` counts from the first byte of all tensors."""

    name: str
    shape: tuple[int, ...]
    layout: Layout
    offset: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.elements // self.layout.elements * self.layout.size


class Header(NamedTuple):
    """What a file says of itself."""

    metadata: Mapping[str, Value]
    tensors: Sequence[TensorEntry]


def read_header(path: Path) -> Header:
    """The file's head, once every tensor is known to lie within the file and beside the others.

    Raises:
        UnsupportedFormat: not a GGUF file, or one of another version or byte order.
        Invalid: what is wrong with it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = HeadReader(file)
        if size < 24 or reader.take(4) != MAGIC:
            raise UnsupportedFormat("this is not a GGUF file")
        version = reader.number(4)
        if version not in VERSIONS:
            raise UnsupportedFormat(
                f"GGUF version {version} is not read, only 2 and 3 (little-endian): "
                "convert it again with a current tool"
            )
        tensors, entries = reader.number(10), reader.number(10)
        _bound("tensors", tensors, MAX_TENSORS)
        _bound("metadata entries", entries, MAX_ENTRIES)
        metadata = _read_metadata(reader, entries)
        header = Header(metadata, [_read_tensor(reader) for _ in range(tensors)])
        _check_layout(header, reader.at, size)
    return header


def _read_metadata(reader: HeadReader, count: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    for _ in range(count):
        key = reader.text()
        if not key or len(key) > MAX_KEY or not key.isprintable():
            raise Invalid(f"a metadata key before byte {reader.at} is not a short printable name")
        if key in metadata:
            raise Invalid(f"the metadata key '{key}' comes twice")
        metadata[key] = reader.value(reader.number(4))
    return metadata


def _read_tensor(reader: HeadReader) -> TensorEntry:
    name = reader.text()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise Invalid(f"a tensor's name before byte {reader.at} is not short and printable")
    dimensions = reader.number(4)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise Invalid(
            f"tensor '{name}' has {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are read"
        )
    shape = tuple(reader.number(10) for _ in range(dimensions))
    if not all(shape) or math.prod(shape) > MAX_ELEMENTS:
        raise Invalid(f"tensor '{name}' has the shape {list(shape)}")
    kind = reader.number(4)
    layout = LAYOUTS.get(kind)
    if layout is None:
        raise Invalid(f"tensor '{name}' is of the unknown type {kind}")
    if shape[0] % layout.elements:
        raise Invalid(
            f"tensor '{name}' has rows of {shape[0]}, no multiple of {layout.name}'s "
            f"{layout.elements}"
        )
    return TensorEntry(name, shape, layout, reader.number(10))


def _check_layout(header: Header, head: int, size: int) -> None:
    """Every tensor begins where it may, ends within the file, and overlaps no other."""
    alignment = header.metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if (
        not isinstance(alignment, int)
        or not 8 <= alignment <= MAX_ALIGNMENT
        or alignment & (alignment - 1)
    ):
        raise Invalid(
            f"general.alignment is {alignment!r:.40}; it must be a power of two "
            f"from 8 to {MAX_ALIGNMENT}"
        )
    names = {tensor.name for tensor in header.tensors}
    if len(names) != len(header.tensors):
        raise Invalid("two tensors have the same name")
    begin = -(-head // alignment) * alignment
    end = 0
    for tensor in sorted(header.tensors, key=lambda each: each.offset):
        if tensor.offset % alignment:
            raise Invalid(f"tensor '{tensor.name}' begins at {tensor.offset}, not on {alignment}")
        if tensor.offset < end:
            raise Invalid(f"tensor '{tensor.name}' begins within another")
        end = tensor.offset + tensor.size
        if begin + end > size:
            raise Invalid(
                f"tensor '{tensor.name}' ends at byte {begin + end}, and the file has {size}: "
                "was it cut short?"
            )


def _bound(what: str, count: int, most: int) -> None:
    if count > most:
        raise Invalid(f"it is said to have {count} {what}; at most {most} are read")
