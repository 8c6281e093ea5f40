"""Bytes on a socket, and what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import msgspec
import uvicorn
from uvicorn.server import ServerState

from modelyard.api.asgi import Receive, Scope, Send, read_body, respond
from modelyard.api.connection import Connection
from modelyard.api.known_heads import KnownHeads
from modelyard.api.limits import ConnectionLimits
from tests.dataplane import LIMIT, Gateway

KEY = "my_caller"
FOREVER = 1 << 40
SECONDS = 20.0
"""How long a test waits for what must come at once."""


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """A management app that says what it was asked."""
    body = await read_body(scope["headers"], receive, LIMIT)
    said = {"path": scope["path"], "method": scope["method"], "size": len(body)}
    await respond(send, 200, json.dumps(said).encode())


async def until(true: Callable[[], object]) -> None:
    """Wait until it is true, or fail."""
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


class Server:
    """Connections of ours on a loopback port."""

    def __init__(self, gateway: Gateway, **limits: Any) -> None:
        self.gateway = gateway
        self.limits = ConnectionLimits(max_body=LIMIT, look_seconds=0.01, **limits)
        self.heads = KnownHeads()
        self.capacity = gateway.capacity
        self.state = ServerState()
        self.port = 0
        self._wires: list[Wire] = []
        self._config = uvicorn.Config(gateway.front, log_config=None, lifespan="off", ws="none")
        self._config.load()

    def limited(self, **limits: Any) -> None:
        """Other limits for the connections to come, before any has."""
        assert not self._wires
        self.limits = msgspec.structs.replace(self.limits, **limits)
        # The gateway's edges share it.
        self.capacity.__init__(self.limits)  # type: ignore[misc]

    async def __aenter__(self) -> Server:
        def make() -> asyncio.Protocol:
            made = partial(Connection, self.gateway.front, self.limits, self.heads, self.capacity)
            return made(config=self._config, server_state=self.state, app_state={})

        self._server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for wire in self._wires:
            wire.abort()
            with suppress(ConnectionError):
                await wire.writer.wait_closed()
        await until(lambda: not self.state.connections and not self.state.tasks)
        # Whatever has happened: nobody is counted who is gone, and no byte that is not held.
        await until(lambda: not len(self.capacity))
        await until(lambda: self.capacity.left == self.limits.max_inflight)

    def shutdown(self) -> None:
        """What uvicorn does when it stops."""
        for connection in list(self.state.connections):
            connection.shutdown()

    async def connect(self, **options: Any) -> Wire:
        """A client's connection."""
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port, **options))
        self._wires.append(wire)
        return wire


@dataclass
class Response:
    """One response."""

    version: str
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """A client that sends what it is told, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes, pause: float = 0.005) -> None:
        """Each part in a packet of its own."""
        for at, part in enumerate(parts):
            if at:
                await asyncio.sleep(pause)
            self.writer.write(part)
            await self.writer.drain()

    async def receive(self) -> Response:
        """The next response, interim ones too."""
        async with asyncio.timeout(SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head[:-4].split("\r\n")
            version, status, _ = first.split(" ", 2)
            headers = {}
            for line in lines:
                name, _, value = line.partition(": ")
                assert name not in headers, f"{name} twice"
                headers[name] = value
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Response(version, int(status), headers, body)

    async def ask(self, *parts: bytes) -> Response:
        await self.send(*parts)
        return await self.receive()

    async def end(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(SECONDS):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b"reset"

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()


def head(line: str, headers: Mapping[str, Any] | None = None) -> bytes:
    """A request's head with the key in it."""
    lines = {"host": "test", "authorization": f"Bearer {KEY}", **(headers or {})}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"{line}\r\n{text}\r\n".encode("latin-1")


def post(path: str, body: bytes, headers: Mapping[str, Any] | None = None) -> bytes:
    """A whole POST request."""
    lines = {"content-length": len(body), **(headers or {})}
    return head(f"POST {path} HTTP/1.1", lines) + body


def pick(row: int, **headers: Any) -> bytes:
    """A request that is answered at once: 10, 20 or 30 for row 0, 1 or 2."""
    return post(*_infer("picker", "at", row), headers)


def count(times: int, **headers: Any) -> bytes:
    """A request that takes as long as it is told to."""
    return post(*_infer("looping", "times", times), headers)


def _infer(model: str, name: str, value: int) -> tuple[str, bytes]:
    tensor = {"name": name, "shape": [1], "datatype": "INT64", "data": [value]}
    return f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}).encode()


def value(response: Response) -> Any:
    """The one number of an answer."""
    assert response.status == 200, response
    return response.json()["outputs"][0]["data"][0]
