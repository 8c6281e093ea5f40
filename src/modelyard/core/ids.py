"""Identifiers: a short prefix that names the noun, then a UUIDv7 (RFC 9562, section 5.7).

UUIDv7 begins with the milliseconds since 1970. The next 12 bits divide the millisecond (method 3
of section 6.2), so ids sort by the time they were made, to a quarter of a microsecond, and land
next to each other in an index. The other 62 bits are random.
"""

from __future__ import annotations

import os
import time
from typing import Final

MODEL: Final = "mdl"
VERSION: Final = "ver"
DATASET: Final = "dst"
DEPLOYMENT: Final = "dep"
GATEWAY: Final = "gwy"
JOB: Final = "job"
JOURNAL: Final = "jrn"
KEY: Final = "key"
PRICE: Final = "prc"
REPLICA: Final = "rep"
REQUEST: Final = "req"
TENANT: Final = "tnt"
UPLOAD: Final = "upl"
WORKER: Final = "wrk"


def uuid7() -> str:
    """A new UUIDv7 as 32 hexadecimal digits."""
    return _uuid7(int.from_bytes(os.urandom(8), "big") >> 2)


def _uuid7(random_bits: int) -> str:
    """The milliseconds, the version, 12 bits of the millisecond's fraction, the variant, the rest.

    Hexadecimal digits meet the fields' borders, so the parts are simply joined.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000
    return f"{milliseconds:012x}7{fraction:03x}{0x2 << 62 | random_bits:016x}"


class IdSequence:
    """Ids that are made often: the random part is drawn once and then counted up.

    This is RFC 9562's "monotonic random" method; 62 random bits keep processes apart.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = int.from_bytes(os.urandom(8), "big") >> 2

    def next(self) -> str:
        """The next id."""
        self._count = (self._count + 1) & (1 << 62) - 1
        return f"{self._prefix}_{_uuid7(self._count)}"


def new_id(prefix: str) -> str:
    """A new id such as `mdl_0198c2...`."""
    return f"{prefix}_{uuid7()}"
