"""An HTTP request and its response, whoever speaks the wire."""

from __future__ import annotations

import msgspec

HeaderList = list[tuple[bytes, bytes]]


class HttpRequest(msgspec.Struct):
    """A whole request. Header names are in lower case; `path` is decoded, without the query."""

    method: str
    path: str
    headers: HeaderList
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        for have, value in self.headers:
            if have == name:
                return value
        return None


class HttpResponse(msgspec.Struct):
    """A whole response."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: HeaderList = []
