"""Requests as llhttp finds them in what comes over a connection, within its limits.

httptools calls the `on_...` methods. What is counted here is what is kept, so that no head and no
body grows without a bound.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

import httptools

from modelyard.api.http import Headers, HttpRequest, HttpResponse
from modelyard.api.known_heads import Head, KnownHeads
from modelyard.api.large_body import LargeBody
from modelyard.api.limits import ConnectionLimits
from modelyard.api.statuses import error_body

OURS: Final = (
    b"POST /v2/models/",
    b"POST /v1/models/",
    b"POST /v1/embeddings",
    b"GET /v2",
    b"GET /v1/models",
)
"""How the requests begin that are answered on connections of our own."""

_CHUNK_FRAME: Final = 64
"""Bytes of framing that a chunk may come with."""


class Refused(Exception):
    """A request that is not read to its end, and the answer to it."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.response = HttpResponse(status, error_body(message))

    @classmethod
    def with_response(cls, response: HttpResponse) -> Refused:
        """The same, with an answer that is there already."""
        refused = cls.__new__(cls)
        refused.response = response
        return refused


def url_too_long(limits: ConnectionLimits) -> Refused:
    """The refusal of a target over its bound."""
    return Refused(
        HTTPStatus.REQUEST_URI_TOO_LONG, f"the path is longer than {limits.max_url} bytes"
    )


def head_too_large(limits: ConnectionLimits) -> Refused:
    """The refusal of headers over their bounds."""
    return Refused(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"at most {limits.max_headers} headers of {limits.max_head} bytes in all",
    )


class Reading(Protocol):
    """Who reads: the connection."""

    def head_read(self, headers: Headers, announced: int, *, large: bool) -> None:
        """A head is whole, and so many bytes are announced to follow it. Raises Refused."""
        ...

    def request_read(self, request: HttpRequest, *, keep_alive: bool) -> None:
        """A request is whole."""
        ...


class RequestReader:
    """The request that comes.

    `between` requests nothing has been parsed of the next; `heading` is set from a request's
    first byte to the end of its head. `_left` of a body are read here and not by llhttp, since
    its head was known. `large` is the buffer of a body that has one of its own,
    `size` what has come of a body, `chunks` in how many chunks.
    """

    _body: bytes | bytearray
    _first: bool
    _head: Head
    _headers: Headers
    heading: bool
    large: LargeBody | None

    def __init__(self, reading: Reading, limits: ConnectionLimits, heads: KnownHeads) -> None:
        self._reading = reading
        self._limits = limits
        self._heads = heads
        self._parser = httptools.HttpRequestParser(self)
        self._known = False
        self._left = 0
        self.between = True
        self._reset()

    def begin(self, head: Head, body: memoryview) -> None:
        """A request begins that has a known head; so much has come of its body. Raises Refused."""
        self.on_message_begin()
        self.heading = False
        self._head = head
        self._await_body(head)
        self._left = head.announced
        if body:
            self._take(body)

    def feed(self, data: bytes) -> bytes:
        """Read on. Between requests, `data` begins as ours do.

        Returns what has not been read: what comes after a request whose head was known.

        Raises:
            Refused: what comes is no request, or one that goes over a limit.
        """
        if self._left:
            left = self._left
            self._take(data[:left])
            return data[left:]
        begins = self._known = self.between
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_over_the_offer(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, Refused):
                raise error.__context__ from None
            raise
        except httptools.HttpParserError:
            raise Refused(HTTPStatus.BAD_REQUEST, "this is not an HTTP/1.1 request") from None
        if begins and not (self.heading or self._offers):
            self._heads.learn(data, self._head, self.size)
        return b""

    def came_in_parts(self, size: int) -> bool:
        """So many bytes came, and the request is not whole: see that what it is made of ends.

        Returns whether that was its first part. Raises Refused.
        """
        first, self._first = self._first, False
        if first:
            return True
        self._later += size
        most = self._limits.max_head
        if self.heading:
            if self._later > most:
                raise head_too_large(self._limits)
        elif self.chunks and self._later > self.size + self.chunks * _CHUNK_FRAME + most:
            raise Refused(HTTPStatus.BAD_REQUEST, "too much around too small chunks")
        return False

    def large_body_received(self) -> None:
        """The large body is whole."""
        if not self._left:
            # llhttp has not seen the end of it: the next request has a new parser.
            self._parser = httptools.HttpRequestParser(self)
        self.on_message_complete()

    @property
    def received(self) -> int:
        """Bytes that have come of the body that is not whole."""
        if self.between:
            return 0
        return self.size if self.large is None else self.large.size

    @property
    def version(self) -> str:
        """The HTTP version of the request that comes."""
        return self._parser.get_http_version()

    # httptools' side

    def on_message_begin(self) -> None:
        self.between = False
        self._reset()
        self._ours, self._known = self._known, False

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.max_url:
            raise url_too_long(self._limits)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        self._count += 1
        limits = self._limits
        if self._head_size > limits.max_head or self._count > limits.max_headers:
            raise head_too_large(limits)
        if self.heading:
            self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        self.heading = False
        headers = self._headers
        if not self._ours and not self._line().startswith(OURS):
            raise Refused(
                HTTPStatus.MISDIRECTED_REQUEST,
                "requests to this route are not pipelined behind inference: "
                "send it once those are answered",
            )
        if b"upgrade" in headers and self._parser.should_upgrade():
            self._offers = True
            return
        self._head = Head(
            self._parser.get_method().decode(),
            self._path(),
            headers,
            # llhttp has seen to it that this is a number, and of no more than 64 bits.
            int(headers.get(b"content-length", b"0")),
            self._parser.should_keep_alive(),
        )
        self._await_body(self._head)

    def on_chunk_header(self) -> None:
        self.chunks += 1

    def on_body(self, body: bytes | memoryview) -> None:
        self.size += len(body)
        self._check_size(self.size)
        if self.large is not None:
            self.large.add(body)
        elif not self._body:
            self._body = bytes(body)
        else:
            # The second part makes it one that can grow: many small parts must not be many.
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body

    def on_message_complete(self) -> None:
        if self._offers:
            return
        self.between = True
        self._left = 0
        large, self.large = self.large, None
        body = bytes(self._body) if large is None else large.whole
        self._reading.request_read(self._head.request(body), keep_alive=self._head.keep_alive)

    # What it knows

    def _reset(self) -> None:
        self._url = b""
        self._head_size = self._count = self._later = self.size = self.chunks = 0
        self._headers = {}
        self._body = b""
        self.large = None
        self.heading = self._first = True
        self._offers = False

    def _path(self) -> str:
        path = self._url.partition(b"?")[0]
        if b"%" in path:
            path = unquote_to_bytes(path)
        return path.decode("utf-8", "replace")

    def _await_body(self, head: Head) -> None:
        announced, headers = head.announced, head.headers
        self._check_size(announced)
        large = announced >= self._limits.large_body or b"transfer-encoding" in headers
        self._reading.head_read(headers, announced, large=large)
        if large and announced:
            length = headers.get(b"inference-header-content-length", b"0")
            offset = int(length) if length.isdigit() and len(length) < 10 else 0
            self.large = LargeBody(announced, offset)

    def _take(self, body: bytes | memoryview) -> None:
        """Take the next part of a body whose head was known."""
        self._left -= len(body)
        self.on_body(body)
        if not self._left:
            self.on_message_complete()

    def _line(self) -> bytes:
        return b"%b %b" % (self._parser.get_method(), self._url)

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_body:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body is larger than {self._limits.max_body} bytes",
            )

    def _pass_over_the_offer(self, rest: bytes) -> None:
        """Read on as if no upgrade had been offered: RFC 9110, section 7.8, lets a server do so.

        llhttp stops at the end of such a head, so it gets the same again without the offer.
        """
        lines = (b"%b: %b\r\n" % pair for pair in self._headers.items() if pair[0] != b"upgrade")
        version = self._parser.get_http_version().encode()
        head = b"%b HTTP/%b\r\n%b\r\n" % (self._line(), version, b"".join(lines))
        self._parser = httptools.HttpRequestParser(self)
        self.between = True
        self.feed(head + rest)
