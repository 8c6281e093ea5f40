"""How long one waits for somebody else's HTTP server."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=3600)]


class HttpTimeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In seconds: until connected, from then until the answer begins, and between two parts of
    it.
    """

    connect_seconds: Seconds = 5.0
    first_byte_seconds: Seconds = 60.0
    between_seconds: Seconds = 30.0
