"""Identifiers: a short prefix that names the noun, then a UUIDv7 (RFC 9562, section 5.7).

UUIDv7 begins with the milliseconds since 1970, so ids sort by the time they were made and
land next to each other in an index; the other 74 bits are random.
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
REQUEST: Final = "req"
TENANT: Final = "tnt"
UPLOAD: Final = "upl"
WORKER: Final = "wrk"


def uuid7() -> str:
    """A new UUIDv7 as 32 hexadecimal digits."""
    value = int.from_bytes(os.urandom(10), "big") | (time.time_ns() // 1_000_000) << 80
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return f"{value:032x}"


def new_id(prefix: str) -> str:
    """A new id such as `mdl_0198c2...`."""
    return f"{prefix}_{uuid7()}"
