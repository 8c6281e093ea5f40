"""One HTTP conversation with the server: encoding, errors, timeouts and bounded retries."""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from modelyard_client.errors import ApiError, TimedOut, UnexpectedAnswer, Unreachable
from modelyard_client.location import START, Location

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

ATTEMPTS: Final = 4
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 10.0
_CONNECT_SECONDS: Final = 5.0
_MAX_DETAIL: Final = 2000


class _Problem(msgspec.Struct):
    """The fields that we read of an RFC 9457 problem, or of the data plane's `{"error": ...}`,
    where OpenAI's API has an object.
    """

    detail: str = ""
    code: str = ""
    error: str | _Error = ""


class _Error(msgspec.Struct):
    message: str = ""
    code: str | None = None


class Transport:
    """Requests to one server with one key.

    A request is sent again when the connection failed or the server said 503: at most
    `ATTEMPTS` times in all, with growing pauses, or the pause that `Retry-After` asks for. That is
    safe, for every POST carries an `Idempotency-Key` of its own.
    """

    def __init__(self, location: Location, timeout: float) -> None:
        self._location = location
        self._timeout = timeout
        self._client: httpx2.Client | None = None

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def request(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        timeout: float | None = None,
        repeatable: bool = True,
    ) -> T:
        """Send `body` as JSON and read the answer as `kind`.

        `timeout` is in seconds for each read. `repeatable=False` is for requests that cost
        something each time: they are sent again only if the server cannot have begun on them.

        Raises:
            ApiError: the server refused.
            Unreachable, TimedOut, UnexpectedAnswer: there was no usable answer.
        """
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if content is None else {"content-type": "application/json"}
        if method == "POST":
            headers["idempotency-key"] = uuid.uuid4().hex
        response = self._attempt(
            lambda client: client.request(
                method,
                path,
                params=_given(params),
                content=content,
                headers=headers,
                timeout=self._limits(timeout),
            ),
            repeatable=repeatable,
        )
        return _decode(response, kind)

    def once(
        self,
        method: str,
        path: str,
        *,
        content: Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        missing: bool = False,
    ) -> httpx2.Response:
        """Send a request a single time. With `missing`, 404 is an answer like any other.

        Raises:
            ApiError, Unreachable, TimedOut: as `request` does.
        """
        with self._translated():
            response = self._open().request(
                method, path, content=content, headers=headers, timeout=self._limits(None)
            )
        if response.status_code >= 400 and not (missing and response.status_code == 404):
            raise _error(response)
        return response

    def download(self, path: str, target: Path, params: Mapping[str, Any] | None = None) -> int:
        """Write the answer to a GET to a file as it comes; returns its bytes. What came of an
        answer that breaks off is not kept.

        Raises:
            ApiError, Unreachable, TimedOut: as `request` does.
            OSError: the file cannot be written.
        """
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        part = target.with_name(f"{target.name}.part")
        with (
            self._translated(),
            self._open().stream("GET", path, params=_given(params)) as response,
        ):
            if response.status_code >= 400:
                response.read()
                raise _error(response)
            try:
                with part.open("wb") as file:
                    size = sum(file.write(chunk) for chunk in response.iter_bytes())
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
        return size

    @contextmanager
    def stream(
        self, path: str, params: Mapping[str, Any] | None = None, *, body: Any = None
    ) -> Iterator[Iterator[str]]:
        """The `data` of each server-sent event of a GET, or with a body of a POST, as it comes.

        Raises:
            ApiError, Unreachable, TimedOut: as `request` does, also from the iterator.
            UnexpectedAnswer: the answer is no event stream.
        """
        with self._translated():
            headers = {"accept": "text/event-stream", "content-type": "application/json"}
            content = None if body is None else msgspec.json.encode(body)
            method = "GET" if body is None else "POST"
            with self._open().stream(
                method, path, params=params, content=content, headers=headers
            ) as response:
                if response.status_code >= 400:
                    response.read()
                    raise _error(response)
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    raise UnexpectedAnswer("the server sent no event stream")
                yield _event_data(response.iter_lines())

    def _attempt(
        self, send: Callable[[httpx2.Client], httpx2.Response], *, repeatable: bool = True
    ) -> httpx2.Response:
        import httpx2

        retried: tuple[type[httpx2.TransportError], ...] = (
            httpx2.ConnectError,
            httpx2.ConnectTimeout,
        )
        if repeatable:
            retried += (httpx2.NetworkError, httpx2.RemoteProtocolError)
        delay = _FIRST_DELAY
        with self._translated():
            for _ in range(ATTEMPTS - 1):
                try:
                    response = send(self._open())
                    pause = max(delay, _retry_after(response))
                    if response.status_code != 503 or pause > _LONGEST_DELAY:
                        return response
                except retried:
                    pause = delay
                time.sleep(pause)
                delay *= 2
            return send(self._open())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the HTTP library's failures into ours."""
        import httpx2

        url = self._location.url
        try:
            yield
        except httpx2.ConnectError:
            raise Unreachable(f"no server answers at {url}", hint=START) from None
        except httpx2.TimeoutException:
            raise TimedOut(f"the server at {url} did not answer in time") from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            raise Unreachable(f"{url!r} is not an address such as http://127.0.0.1:8000") from None
        except httpx2.TransportError as error:
            raise Unreachable(f"the connection to {url} broke: {error}") from None

    def _open(self) -> httpx2.Client:
        if self._client is None:
            import httpx2

            headers = {"user-agent": "modelyard-client", "accept": "application/json"}
            if self._location.api_key:
                headers["authorization"] = f"Bearer {self._location.api_key}"
            if self._location.tenant:
                headers["x-modelyard-tenant"] = self._location.tenant
            base = httpx2.URL(self._location.url)
            self._client = httpx2.Client(
                base_url=base,
                # Loading the certificate authorities takes longer than a request. Without TLS none
                # is needed: this context trusts nobody.
                verify=True if base.scheme == "https" else SSLContext(PROTOCOL_TLS_CLIENT),
                headers=headers,
                timeout=self._limits(None),
                # A proxy that the environment names could not reach this machine's own loopback.
                trust_env=base.host not in ("127.0.0.1", "localhost", "::1"),
            )
        return self._client

    def _limits(self, timeout: float | None) -> httpx2.Timeout:
        import httpx2

        return httpx2.Timeout(timeout or self._timeout, connect=_CONNECT_SECONDS)


def route(*parts: str | int) -> str:
    """The path of a management resource; each part is one segment, whatever it holds."""
    return "/api/v1/" + "/".join(quote(str(part), safe="") for part in parts)


def _given(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if params is None:
        return None
    return {name: value for name, value in params.items() if value is not None}


def _event_data(lines: Iterator[str]) -> Iterator[str]:
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data.clear()


def _decode(response: httpx2.Response, kind: type[T]) -> T:
    if response.status_code >= 400:
        raise _error(response)
    if kind is type(None):
        return kind()
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.DecodeError as error:
        raise UnexpectedAnswer(
            f"{response.request.method} {response.request.url.path} was answered with something "
            f"unexpected: {error}",
            hint="is the server's version the same as the client's?",
        ) from None


def _error(response: httpx2.Response) -> ApiError:
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    error = problem.error
    told, code = (error, problem.code) if isinstance(error, str) else (error.message, error.code)
    detail = problem.detail or told or f"the server answered HTTP {response.status_code}"
    return ApiError(
        response.status_code,
        code or "",
        detail[:_MAX_DETAIL],
        retry_after=_retry_after(response),
    )


def _retry_after(response: httpx2.Response) -> float:
    """The seconds of `Retry-After`; its other form, a date, is not one that our server sends."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0
