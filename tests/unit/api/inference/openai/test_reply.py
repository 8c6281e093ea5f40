"""A reply that is pushed to the connection where nothing waits, and sent in order where it does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelyard.api.inference.openai.reply import EVENTS, Reply


class Client:
    """Takes what is sent; while it is `behind` nothing can be pushed to it, and what is sent waits
    until it has `caught_up`.
    """

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.pushed: list[bytes] = []
        self.behind = False
        self.caught_up = asyncio.Event()

    def push(self, data: bytes) -> bool:
        if self.behind:
            return False
        self.pushed.append(data)
        self.got.append(data)
        return True

    async def send(self, message: Any) -> None:
        if self.behind:
            await self.caught_up.wait()
        self.got.append(message.get("body", b""))


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_what_follows_the_beginning_is_pushed() -> None:
    client = Client()
    reply = Reply("req_1", client.push)
    sending = asyncio.ensure_future(reply.send(client.send))

    reply.begin(EVENTS)
    reply.write(b"1")
    assert client.got == []
    await settled()
    reply.write(b"2")
    reply.write(b"")
    reply.write(b"3")
    reply.write(b"4")
    reply.end()
    await sending

    assert client.pushed == [b"2", b"3", b"4"]
    assert b"".join(client.got) == b"1234"
    assert reply.written == 4


@pytest.mark.asyncio
async def test_nothing_overtakes_what_a_slow_client_has_not_taken() -> None:
    client = Client()
    reply = Reply("req_1", client.push)
    sending = asyncio.ensure_future(reply.send(client.send))
    reply.begin(EVENTS)
    reply.write(b"1")
    await settled()

    client.behind = True
    reply.write(b"2")
    await settled()
    reply.write(b"3")
    client.behind = False
    reply.write(b"4")
    assert client.pushed == []
    client.caught_up.set()
    await settled()
    reply.write(b"5")
    reply.end()
    await sending

    assert client.pushed == [b"5"]
    assert b"".join(client.got) == b"12345"
