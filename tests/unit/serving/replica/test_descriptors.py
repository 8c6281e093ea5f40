from __future__ import annotations

import gc
import os
import socket
from pathlib import Path

import pytest

from modelyard.serving.replica.descriptors import MAX_WAITING, DescriptorQueue
from modelyard.serving.replica.frames import BrokenFrame


def open_descriptors() -> int:
    gc.collect()  # what earlier tests have left goes at any time
    return len(list(Path("/proc/self/fd").iterdir()))


def send(to: socket.socket, data: bytes, count: int) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    socket.send_fds(to, [data], [reading] * count)
    os.close(reading)


def test_descriptors_come_with_their_bytes_and_are_not_inherited() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        queue = DescriptorQueue()
        theirs.send(b"without")
        send(theirs, b"one", 1)
        send(theirs, b"two", 1)
        data = b""
        while not data.endswith(b"two"):
            data += queue.receive(ours, 100)
        first, second = queue.take(), queue.take()
        assert data == b"withoutonetwo"
        assert not os.get_inheritable(first)
        os.close(first)
        os.close(second)
        with pytest.raises(BrokenFrame, match="without the descriptor"):
            queue.take()


def test_more_descriptors_than_anybody_has_a_use_for_are_refused_and_closed() -> None:
    before = open_descriptors()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        queue = DescriptorQueue()
        for _ in range(MAX_WAITING // 8):
            send(theirs, b"x", 8)
            queue.receive(ours, 100)
        send(theirs, b"x", 8)
        with pytest.raises(BrokenFrame):
            queue.receive(ours, 100)
        queue.close()
    assert open_descriptors() <= before


def test_too_many_at_once_are_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        queue = DescriptorQueue()
        send(theirs, b"x", 100)
        with pytest.raises(BrokenFrame):
            queue.receive(ours, 100)
        queue.close()
