from __future__ import annotations

import asyncio
import gc
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from modelyard.adapters.engine.host import address
from modelyard.adapters.engine.host.connection import MAX_UNSENT, FrameConnection
from modelyard.adapters.engine.host.messages import (
    FROM_GATEWAY,
    FROM_HOST,
    WITH_DESCRIPTOR,
    Drain,
    Hello,
    Offer,
    ReplicaKey,
)

KEY = ReplicaKey("dep_1", "ver_1")


def open_descriptors() -> int:
    gc.collect()  # what earlier tests have left goes at any time
    return len(list(Path("/proc/self/fd").iterdir()))


class Side:
    """One side of a conversation, and what it has heard."""

    def __init__(self, connection: socket.socket, *, gateway: bool) -> None:
        self.heard: list[tuple[Any, int | None]] = []
        self.lost: list[str] = []
        self.connection: FrameConnection[Any] = FrameConnection(
            connection,
            FROM_HOST if gateway else FROM_GATEWAY,
            lambda message, descriptor: self.heard.append((message, descriptor)),
            self.lost.append,
            WITH_DESCRIPTOR if gateway else (),
        )


async def until(true: Any) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


def pair() -> tuple[Side, Side]:
    one, other = socket.socketpair()
    return Side(one, gateway=True), Side(other, gateway=False)


@pytest.mark.asyncio
async def test_messages_and_descriptors_arrive_in_order() -> None:
    gateway, host = pair()
    ends = []
    for number in range(100):
        ours, theirs = socket.socketpair()
        ours.send(bytes([number]))
        ends.append(ours)
        host.connection.send(Offer(KEY, f"rep_{number}"), theirs.detach())
        host.connection.send(Drain(f"rep_{number}"))
    await until(lambda: len(gateway.heard) == 200)
    for number in range(100):
        offer, descriptor = gateway.heard[2 * number]
        assert offer == Offer(KEY, f"rep_{number}")
        with socket.socket(fileno=descriptor) as channel:
            assert channel.recv(1) == bytes([number])
        assert gateway.heard[2 * number + 1] == (Drain(f"rep_{number}"), None)
        ends[number].close()
    gateway.connection.send(Hello("gwy_1"))
    await until(lambda: host.heard == [(Hello("gwy_1"), None)])
    gateway.connection.close()
    await until(lambda: host.lost == ["it has closed the connection"])
    assert gateway.lost == []


@pytest.mark.asyncio
async def test_descriptors_that_were_not_asked_for_are_closed_by_the_kernel() -> None:
    before = open_descriptors()
    one, other = socket.socketpair()
    host = Side(other, gateway=False)
    with one:
        reading, writing = os.pipe()
        for _ in range(10):
            socket.send_fds(one, [b"\x01\x00\x00\x00"], [reading, writing])
        os.close(reading)
        os.close(writing)
        await until(lambda: host.lost)
    assert open_descriptors() <= before


@pytest.mark.asyncio
async def test_a_side_that_does_not_read_counts_as_gone_and_nothing_is_kept() -> None:
    before = open_descriptors()
    one, other = socket.socketpair()
    host = Side(other, gateway=False)
    with one:
        for number in range(100_000):
            host.connection.send(Drain(f"rep_{number:0100}"))
            if host.connection.closed:
                break
        assert number >= MAX_UNSENT
        await until(lambda: host.lost == ["it does not read what it is sent"])
        host.connection.send(Offer(KEY, "rep_1"), os.dup(0))
    assert open_descriptors() <= before


@pytest.mark.asyncio
async def test_a_message_without_its_descriptor_ends_the_conversation() -> None:
    gateway, host = pair()
    host.connection.send(Offer(KEY, "rep_1"))
    await until(lambda: gateway.lost)
    assert "without the descriptor" in gateway.lost[0]
    host.connection.close()


def test_the_socket_may_lie_deep_and_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100) / "run"
    with pytest.raises(FileNotFoundError):
        address.connect(folder)
    address.listen(folder).close()
    with address.listen(folder) as listener:
        assert folder.stat().st_mode & 0o777 == 0o700
        with address.connect(folder) as connection:
            accepted, _ = listener.accept()
            with accepted:
                assert address.peer_is_ours(accepted)
                assert address.peer_is_ours(connection)
