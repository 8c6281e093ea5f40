"""The values of which a GGUF file's head is made, read one after the other and never too many."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import BinaryIO, Final, NamedTuple

from modelyard.core.errors import Invalid

MAX_STRING: Final = 1 << 20
"""Bytes of a string: chat templates are the longest."""
MAX_ARRAY: Final = 1 << 22
"""Elements of an array: vocabularies are the longest."""
MAX_HEAD: Final = 256 << 20
"""Bytes of everything before the tensors."""
KEPT: Final = 4096
"""Elements of an array of numbers that are kept; of a longer one only how many there were."""

_CHUNK: Final = 1 << 16

Scalar = int | float | bool | str


class Strings(NamedTuple):
    """An array of strings, of which only the number is kept."""

    length: int


class Numbers(NamedTuple):
    """An array of numbers. `values` is empty when there are more than `KEPT`."""

    length: int
    values: tuple[Scalar, ...]


Value = Scalar | Strings | Numbers

_SCALARS: Final[Mapping[int, struct.Struct]] = {
    number: struct.Struct("<" + code)
    for number, code in {
        0: "B",
        1: "b",
        2: "H",
        3: "h",
        4: "I",
        5: "i",
        6: "f",
        7: "B",
        10: "Q",
        11: "q",
        12: "d",
    }.items()
}
_BOOL: Final = 7
_STRING: Final = 8
_ARRAY: Final = 9


class HeadReader:
    """Reads little-endian values from the front of a file. `at` is the next byte's offset.

    Every method raises Invalid when the file ends too soon or says what cannot be.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = b""
        self._begin = 0
        self.at = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start = self.at - self._begin
        if len(self._buffer) - start < size:
            if self.at + size > MAX_HEAD:
                raise Invalid(f"its head is longer than {MAX_HEAD} bytes")
            rest = self._buffer[start:]
            self._buffer = rest + self._file.read(max(size - len(rest), _CHUNK))
            self._begin, start = self.at, 0
            if len(self._buffer) < size:
                raise Invalid(f"it ends within its head, after {self.at + len(rest)} bytes")
        self.at += size
        return self._buffer[start : start + size]

    def number(self, kind: int) -> int:
        """An unsigned number of the file's own kinds 4 (32 bits) or 10 (64 bits)."""
        form = _SCALARS[kind]
        value: int = form.unpack(self.take(form.size))[0]
        return value

    def text(self) -> str:
        """A string."""
        try:
            return self._raw_text().decode("utf-8")
        except UnicodeDecodeError:
            raise Invalid(f"a string before byte {self.at} is not UTF-8") from None

    def value(self, kind: int) -> Value:
        """A value of this kind."""
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self._array()
        return self._scalar(kind)()

    def _raw_text(self) -> bytes:
        size = self.number(10)
        if size > MAX_STRING:
            raise Invalid(f"a string at byte {self.at - 8} is said to have {size} bytes")
        return self.take(size)

    def _scalar(self, kind: int) -> Callable[[], Scalar]:
        form = _SCALARS.get(kind)
        if form is None:
            raise Invalid(f"a value at byte {self.at} is of the unknown kind {kind}")

        def read() -> Scalar:
            value: Scalar = form.unpack(self.take(form.size))[0]
            if kind != _BOOL:
                return value
            if value not in (0, 1):
                raise Invalid(f"a truth value before byte {self.at} is {value}")
            return bool(value)

        return read

    def _array(self) -> Strings | Numbers:
        kind, count = self.number(4), self.number(10)
        if count > MAX_ARRAY:
            raise Invalid(f"an array before byte {self.at} is said to have {count} elements")
        if kind == _STRING:
            for _ in range(count):
                # Tokens may be any bytes.
                self._raw_text()
            return Strings(count)
        read = self._scalar(kind)
        if count <= KEPT:
            return Numbers(count, tuple(read() for _ in range(count)))
        left = count * _SCALARS[kind].size
        while left:
            left -= len(self.take(min(left, _CHUNK)))
        return Numbers(count, ())
