"""Streams of text on sockets of our own, to be read slowly, left or cut off."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any, Self
from urllib.parse import urlsplit

STORY = "Tell me a very long story about a ship, a lighthouse and the people of a small harbour."
"""At a temperature of 0 the small model that we have goes on with it to the end of its context."""


class Stream:
    """One streamed chat. `events` are those that have come, as JSON; `times` when they came, in
    seconds since it was asked. It is `over` when nothing more will come, and `whole` if the server
    said so.
    """

    def __init__(self, url: str, key: str, model: str, **more: Any) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        headers = more.pop("headers", {})
        asked = {"model": model, "stream": True, "max_tokens": 2000, "temperature": 0}
        messages = [{"role": "user", "content": STORY}]
        body = json.dumps({**asked, "messages": messages, **more}).encode()
        lines = {
            "host": parts.netloc,
            "authorization": f"Bearer {key}",
            "content-type": "application/json",
            "content-length": str(len(body)),
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.events: list[Any] = []
        self.times: list[float] = []
        self.status = 0
        self.over = self.whole = False
        self.sock = socket.create_connection((parts.hostname, parts.port), timeout=60)
        self._head, self._chunks, self._text = b"", b"", b""
        self._began = time.monotonic()
        self.sock.sendall(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    @property
    def request_id(self) -> str:
        """As the server names the request."""
        lines = self._head.decode().lower().split("\r\n")
        return next(line[14:] for line in lines if line.startswith("x-request-id: "))

    @property
    def tokens(self) -> int:
        """Pieces of text that have come."""
        told = (choice["delta"] for event in self.events for choice in event.get("choices", ()))
        return sum("content" in delta for delta in told)

    @property
    def reason(self) -> str | None:
        """Why it has ended."""
        told = [choice for event in self.events for choice in event.get("choices", ())]
        return next((one["finish_reason"] for one in told if one["finish_reason"]), None)

    @property
    def error(self) -> Any:
        """The failure that was told in its course; None without one."""
        return next((event["error"] for event in self.events if "error" in event), None)

    def read(self, tokens: int | None = None) -> Self:
        """Read until so many pieces have come, or to the end."""
        while not self.over and (tokens is None or self.tokens < tokens):
            self._take(self.sock.recv(65536))
        return self

    def leave(self) -> None:
        """Hang up politely: all that has come is read, then FIN."""
        self.sock.setblocking(False)
        try:
            while data := self.sock.recv(65536):
                self._take(data)
        except BlockingIOError:
            pass
        self.sock.close()

    def reset(self) -> None:
        """Hang up with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _take(self, data: bytes) -> None:
        if not data:
            self.over = True
            return
        now = time.monotonic() - self._began
        if not self.status:
            self._head += data
            if b"\r\n\r\n" not in self._head:
                return
            self._head, _, data = self._head.partition(b"\r\n\r\n")
            self.status = int(self._head.split()[1])
        self._chunks += data
        self._join_chunks()
        *whole, self._text = self._text.split(b"\n\n")
        for event in whole:
            said = event.removeprefix(b"data: ")
            if said == b"[DONE]":
                self.over = self.whole = True
            else:
                self.events.append(json.loads(said))
                self.times.append(now)

    def _join_chunks(self) -> None:
        """Chunks of HTTP are not those of the text."""
        while b"\r\n" in self._chunks:
            head, _, rest = self._chunks.partition(b"\r\n")
            size = int(head, 16)
            if len(rest) < size + 2:
                return
            if not size:
                self.over = True
            self._text += rest[:size]
            self._chunks = rest[size + 2 :]
