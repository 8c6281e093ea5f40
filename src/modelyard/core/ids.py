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
ALERT: Final = "alr"
CREDIT: Final = "crd"
DATASET: Final = "dst"
DEPLOYMENT: Final = "dep"
GATEWAY: Final = "gwy"
INVOICE: Final = "inv"
JOB: Final = "job"
JOURNAL: Final = "jrn"
KEY: Final = "key"
LISTING: Final = "lst"
PRICE: Final = "prc"
PROVIDER: Final = "prv"
QUOTA: Final = "quo"
REPLICA: Final = "rep"
REQUEST: Final = "req"
SESSION: Final = "ses"
SUBSCRIPTION: Final = "sub"
TENANT: Final = "tnt"
UPLOAD: Final = "upl"
USER: Final = "usr"
WORKER: Final = "wrk"


_VARIANT: Final = 0x2 << 62


def uuid7() -> str:
    """A new UUIDv7 as 32 hexadecimal digits.

    The milliseconds, the version, 12 bits of the millisecond's fraction, the variant, the rest.
    Hexadecimal digits meet the fields' borders, so the parts are simply joined.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000
    return f"{milliseconds:012x}7{fraction:03x}{_VARIANT | _random(62):016x}"


class IdSequence:
    """Ids that are made often: the random part is drawn once and then counted up.

    This is RFC 9562's "monotonic random" method; 73 random bits keep processes apart. Ids of one
    millisecond share all but the count, so only that is written anew for each.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._fixed = f"7{_random(12):03x}"
        # Half of the range is left to count in, which no process will live to use up.
        self._count = _VARIANT | _random(61)
        self._millisecond = -1
        self._beginning = ""

    def next(self) -> str:
        """The next id."""
        self._count += 1
        millisecond = time.time_ns() // 1_000_000
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            self._beginning = f"{self._prefix}_{millisecond:012x}{self._fixed}"
        return f"{self._beginning}{self._count:016x}"


def new_id(prefix: str) -> str:
    """A new id such as `mdl_0198c2...`."""
    return f"{prefix}_{uuid7()}"


def _random(bits: int) -> int:
    return int.from_bytes(os.urandom(8), "big") >> 64 - bits
