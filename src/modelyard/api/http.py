"""An HTTP request and its response, whoever speaks the wire."""

from __future__ import annotations

import msgspec

HeaderList = list[tuple[bytes, bytes]]
Headers = dict[bytes, bytes]
"""Names in lower case. Of a header that came twice, the first value."""


class HttpRequest(msgspec.Struct):
    """A whole request. `path` is decoded, without the query; `peer` is the address of whoever is at
    the other end of the connection.
    """

    method: str
    path: str
    headers: Headers
    body: bytes | memoryview
    peer: str = ""


class HttpResponse(msgspec.Struct):
    """A whole response."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: HeaderList = []
