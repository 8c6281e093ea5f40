"""Whether bytes are a pickle, of any protocol, without running a single opcode."""

from __future__ import annotations

import io
import pickletools
from typing import Final

_NEWEST: Final = 5
_ENOUGH: Final = 12
"""Opcodes in a row by which a text is taken for a pickle of the first protocols."""
_JOBLIB: Final = (b"joblib.numpy_pickle", b"joblib\x94\x8c\x0cnumpy_pickle")


def is_pickle(head: bytes) -> bool:
    """Protocols 2 to 5 say so in two bytes; 0 and 1 are known by their opcodes."""
    if head[:1] == b"\x80":
        return len(head) > 2 and 2 <= head[1] <= _NEWEST
    return _reads_as_opcodes(head)


def is_joblib(head: bytes) -> bool:
    """Whether joblib wrote it: its arrays stand between the opcodes."""
    return any(name in head for name in _JOBLIB)


def _reads_as_opcodes(head: bytes) -> bool:
    count = 0
    try:
        for opcode, _, _ in pickletools.genops(io.BytesIO(head)):
            count += 1
            if opcode.name == "STOP":
                return count > 1
            if count >= _ENOUGH:
                return True
    except (ValueError, UnicodeDecodeError, IndexError):
        return False
    return False
