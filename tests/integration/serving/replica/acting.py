"""A process that speaks as a replica does, honestly or not: `acting.py DESCRIPTOR BEHAVIOUR`.

Honest, it answers `y` with twice its input `x` (FP32), from shared memory where it was asked so.
"""

from __future__ import annotations

import array
import mmap
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from modelyard.core.tensors import Datatype, Tensor
from modelyard.serving.replica.frames import FrameReader, pack
from modelyard.serving.replica.messages import (
    FROM_GATEWAY,
    Answer,
    Call,
    Cancel,
    Failure,
    Part,
    Share,
    TensorHead,
    lay_out,
    read_tensors,
)

DEADLY = 666.0


class Gateway:
    """The other end, with what it has shared."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reader: FrameReader[Any] = FrameReader(FROM_GATEWAY, 1 << 30)
        self.memory: mmap.mmap | None = None

    def frames(self) -> Iterator[tuple[Any, memoryview]]:
        size = array.array("i").itemsize
        while True:
            data, ancillary, _, _ = self.sock.recvmsg(1 << 16, socket.CMSG_SPACE(size))
            if not data:
                return
            for _, _, content in ancillary:
                (descriptor,) = array.array("i", content[:size])
                self.memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
                os.close(descriptor)
            yield from self.reader.feed(data)

    def inputs(self, call: Call, payload: memoryview) -> dict[str, Tensor]:
        if call.shared:
            assert self.memory is not None
            payload = memoryview(self.memory)[: sum(head.size for head in call.inputs)]
        return read_tensors(call.inputs, payload)

    def say(self, message: Any, payload: Any = ()) -> None:
        self.send(b"".join(bytes(part) for part in pack(message, payload)))

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            sys.exit(0)

    def answer(self, call: Call, outputs: dict[str, Tensor]) -> None:
        heads, payload = lay_out(outputs)
        size = sum(head.size for head in heads)
        if call.shared and self.memory is not None and size <= len(self.memory) // 2:
            half = len(self.memory) // 2
            self.memory[half : half + size] = b"".join(payload)
            self.say(Answer(call.id, heads, shared=True))
        else:
            self.say(Answer(call.id, heads), payload)


def honest(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.answer(call, {"y": x * 2})


def slow(gateway: Gateway, call: Call, x: Tensor) -> None:
    """Takes as many seconds as the first value says."""
    time.sleep(float(x.reshape(-1)[0]))
    gateway.answer(call, {"y": x})


def deadly(gateway: Gateway, call: Call, x: Tensor) -> None:
    if (x == DEADLY).any():
        os.kill(os.getpid(), signal.SIGKILL)
    gateway.answer(call, {"y": x * 2})


def wrong_type(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.answer(call, {"y": x.astype(np.float64)})


def wrong_shape(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.answer(call, {"y": x[:, :, None]})


def wrong_rows(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.answer(call, {"y": np.concatenate([x, x])})


def wrong_name(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.answer(call, {"z\n\x1b[31m": x})


def one_too_many(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.answer(call, {"y": x, "z": x})


def nothing(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.answer(call, {})


def too_many(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.answer(call, {f"y{n}": x for n in range(1000)})


def lying_size(gateway: Gateway, call: Call, x: Tensor) -> None:
    heads = (TensorHead("y", Datatype.FP32, (1 << 40, 2), 8),)
    gateway.say(Answer(call.id, heads), [bytes(8)])


def negative_size(gateway: Gateway, call: Call, x: Tensor) -> None:
    heads = (TensorHead("y", Datatype.FP32, (-1, 2), -8),)
    gateway.say(Answer(call.id, heads), [bytes(8)])


def bad_text(gateway: Gateway, call: Call, x: Tensor) -> None:
    heads = (TensorHead("y", Datatype.BYTES, (1,), 5),)
    gateway.say(Answer(call.id, heads), [struct.pack("<I", 1) + b"\xff"])


def failing(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.say(Failure(call.id, "internal", "\x00it broke\n" + "x" * 100_000))


def refusing(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.say(Failure(call.id, "invalid", "no such value"))


def garbage(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.send(b"HTTP/1.1 200 OK\r\n" * 1000)


def no_message(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.send(struct.pack("<II", 100, 0) + b"\x93" * 100)


def huge_length(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.send(struct.pack("<II", 10, 0xFFFFFFFF))


def endless(gateway: Gateway, call: Call, x: Tensor) -> None:
    """A frame within bounds that goes on for ever after its end."""
    gateway.answer(call, {"y": x})
    while True:
        gateway.say(Answer(call.id, ()))


def endless_parts(gateway: Gateway, call: Call, x: Tensor) -> None:
    while True:
        gateway.say(Part(call.id))


def unasked(gateway: Gateway, call: Call, x: Tensor) -> None:
    gateway.say(Answer(call.id + 1, ()))


def unshared(gateway: Gateway, call: Call, x: Tensor) -> None:
    heads, _ = lay_out({"y": x})
    gateway.say(Answer(call.id, heads, shared=True))


def beyond_memory(gateway: Gateway, call: Call, x: Tensor) -> None:
    """More than is shared, in the memory that is."""
    size = 1 << 40
    heads = (TensorHead("y", Datatype.FP32, (size // 8, 2), size),)
    gateway.say(Answer(call.id, heads, shared=True))


def silent(gateway: Gateway, call: Call, x: Tensor) -> None:
    """Never answers."""


BEHAVIOURS: dict[str, Callable[[Gateway, Call, Tensor], None]] = {
    each.__name__: each
    for each in (
        honest, slow, deadly, wrong_type, wrong_shape, wrong_rows, wrong_name, one_too_many,
        nothing, too_many, lying_size, negative_size, bad_text, failing, refusing, garbage,
        no_message, huge_length, endless, endless_parts, unasked, unshared, beyond_memory, silent,
    )
}  # fmt: skip


def main(descriptor: int, behaviour: str) -> None:
    """Answer calls until the gateway goes."""
    act = BEHAVIOURS[behaviour]
    gateway = Gateway(socket.socket(fileno=descriptor))
    for message, payload in gateway.frames():
        if isinstance(message, Call):
            act(gateway, message, gateway.inputs(message, payload)["x"])
        else:
            assert isinstance(message, Cancel | Share)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
