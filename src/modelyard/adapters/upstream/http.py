"""The HTTP client towards providers, on aiohttp."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from yarl import URL

from modelyard.adapters.upstream.addresses import AddressRules
from modelyard.adapters.upstream.resolver import (
    CheckedResolver,
    Lookup,
    NotAllowed,
    checked_socket,
    look_up,
)
from modelyard.serving.upstream.failures import Kind, UpstreamFailed
from modelyard.serving.upstream.ports import HttpCall

CONNECTIONS: Final = 512
KEPT: Final = 15.0
"""Seconds for which a connection is kept for the next request: less than servers do, who would
else close it while that is on its way."""
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)
"""None of the library's: they do not tell connecting from answering."""
_SENT: Final = {"accept-encoding": "identity", "user-agent": "modelyard"}


class AiohttpCalls:
    """`HttpCalls`. Lives on one event loop; may be made on any thread."""

    def __init__(self, rules: AddressRules, lookup: Lookup = look_up) -> None:
        self._rules = rules
        self._lookup = lookup
        # Reading the host's certificates takes a while: here, and not on the event loop.
        self._tls = ssl.create_default_context()
        self._session: aiohttp.ClientSession | None = None

    async def open(self, call: HttpCall) -> AiohttpAnswer:
        """Send it. Raises UpstreamFailed."""
        timeouts = call.timeouts
        try:
            async with asyncio.timeout(timeouts.connect_seconds) as limit:
                response = await self._opened().request(
                    call.method,
                    URL(call.url, encoded=True),
                    headers={**_SENT, **call.headers},
                    data=call.body or None,
                    allow_redirects=False,
                    timeout=_NO_TIMEOUT,
                    trace_request_ctx=(limit, timeouts.first_byte_seconds),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failed(error) from None
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            response.close()
            raise UpstreamFailed(Kind.MALFORMED, "the answer is compressed")
        return AiohttpAnswer(response, timeouts.between_seconds)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=CheckedResolver(self._rules, self._lookup),
                    socket_factory=checked_socket(self._rules),
                    use_dns_cache=False,
                    limit=CONNECTIONS,
                    keepalive_timeout=KEPT,
                    ssl=self._tls,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                trace_configs=[_watch()],
            )
        return self._session


class AiohttpAnswer:
    """An `HttpAnswer`."""

    def __init__(self, response: aiohttp.ClientResponse, between: float) -> None:
        self._response = response
        self._between = between
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, value in response.headers.items()
        }

    async def read(self) -> bytes:
        """The next part of the body. Raises UpstreamFailed."""
        try:
            async with asyncio.timeout(self._between):
                return await self._response.content.readany()
        except TimeoutError:
            raise UpstreamFailed(Kind.TIMEOUT, "between two parts of the answer") from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamFailed(Kind.BROKEN, type(error).__name__) from None

    def close(self) -> None:
        """Cut it off, unless it has come whole: then its connection is kept."""
        self._response.close()


def _watch() -> aiohttp.TraceConfig:
    """Gives a request its time for the first byte once it has a connection."""

    async def connected(_: aiohttp.ClientSession, context: Any, __: object) -> None:
        limit, seconds = context.trace_request_ctx
        limit.reschedule(asyncio.get_running_loop().time() + seconds)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(connected)
    trace.on_connection_reuseconn.append(connected)
    return trace


def _failed(error: Exception) -> UpstreamFailed:
    """The failure, without a word of what the error says: it may say where, and with which key."""
    name = type(error).__name__
    if _not_allowed(error):
        return UpstreamFailed(Kind.ADDRESS, name)
    if isinstance(error, TimeoutError):
        return UpstreamFailed(Kind.TIMEOUT, name)
    if isinstance(error, aiohttp.InvalidURL):
        return UpstreamFailed(Kind.REFUSED, name)
    # A certificate that is not believed is a ValueError, too.
    reached = not isinstance(error, aiohttp.ClientConnectionError)
    if reached and isinstance(error, aiohttp.ClientResponseError | ValueError):
        return UpstreamFailed(Kind.MALFORMED, name)
    return UpstreamFailed(Kind.CONNECT, name)


def _not_allowed(error: BaseException | None) -> bool:
    while error is not None:
        inner = getattr(error, "os_error", None)
        if isinstance(error, NotAllowed) or isinstance(inner, NotAllowed):
            return True
        error = error.__cause__ or error.__context__
    return False
