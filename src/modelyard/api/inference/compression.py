"""gzip and deflate, both ways, with a bound on what a small body may grow to."""

from __future__ import annotations

import gzip
import zlib
from typing import Final

from modelyard.api.capacity import Capacity, no_room
from modelyard.api.http import HttpRequest, HttpResponse
from modelyard.core.errors import Invalid, TooLarge, UnsupportedFormat

WORTH_IT: Final = 4096
"""Bytes below which compressing an answer costs more than it saves."""

_LEVEL: Final = 1
_WINDOW: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


def decompressed(request: HttpRequest, limit: int, capacity: Capacity | None = None) -> None:
    """Unpack the request's body in place, as far as there is room for it.

    Raises:
        UnsupportedFormat: another coding than gzip or deflate.
        Invalid: not what it says, or cut short.
        TooLarge: it grows over `limit` bytes.
        Unavailable: it grows over what the gateway has room for.
    """
    coding = request.headers.get(b"content-encoding")
    if coding is None or (coding := coding.strip().lower()) == b"identity":
        return
    window = _WINDOW.get(coding)
    if window is None:
        raise UnsupportedFormat(
            f"Content-Encoding {coding[:20].decode('latin-1')!r} must be gzip or deflate"
        )
    most = limit if capacity is None else min(limit, max(capacity.left, 0))
    unpacker = zlib.decompressobj(window)
    try:
        body = unpacker.decompress(request.body, most + 1)
    except zlib.error:
        raise Invalid(f"the body is not {coding.decode()} data") from None
    if len(body) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes once unpacked")
    if len(body) > most:
        raise no_room()
    if not unpacker.eof or unpacker.unused_data:
        raise Invalid(
            f"the {coding.decode()} data of the body is cut short or goes on after its end"
        )
    request.body = body


def compressed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Pack a large answer if the client takes it so."""
    if len(response.body) < WORTH_IT:
        return response
    accepted = request.headers.get(b"accept-encoding")
    if accepted is None:
        return response
    codings = {each.partition(b";")[0].strip() for each in accepted.lower().split(b",")}
    if b"gzip" in codings:
        response.body = gzip.compress(response.body, _LEVEL, mtime=0)
        response.headers.append((b"content-encoding", b"gzip"))
    elif b"deflate" in codings:
        response.body = zlib.compress(response.body, _LEVEL)
        response.headers.append((b"content-encoding", b"deflate"))
    return response
