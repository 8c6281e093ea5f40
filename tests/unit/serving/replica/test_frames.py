from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.errors import Invalid
from modelyard.core.tensors import NUMPY, Datatype
from modelyard.serving.replica.frames import MAX_HEADER, BrokenFrame, Frame, FrameReader, pack
from modelyard.serving.replica.messages import (
    FROM_GATEWAY,
    FROM_REPLICA,
    Answer,
    Call,
    Cancel,
    Failure,
    TensorHead,
    lay_out,
    read_tensors,
)


def wire(message: msgspec.Struct, payload: list[memoryview] | None = None) -> bytes:
    return b"".join(bytes(part) for part in pack(message, payload or []))


def reader(max_payload: int = 1 << 20) -> FrameReader[object]:
    return FrameReader(FROM_REPLICA, max_payload)


@given(st.lists(st.integers(1, 40), min_size=1), st.integers(0, 3))
def test_frames_come_out_whole_however_they_are_cut(cuts: list[int], tensors: int) -> None:
    sent = {f"t{n}": np.arange(n * 7, dtype=np.float32) for n in range(tensors)}
    heads, payload = lay_out(sent)
    stream = wire(Answer(1, heads), payload) + wire(Failure(2, "invalid", "no"))
    at, cut = 0, reader()
    came: list[Frame[object]] = []
    while at < len(stream):
        size = cuts[len(came) % len(cuts)] + at % 5
        came += cut.feed(stream[at : at + size])
        at += size
    first, second = came
    assert first.message == Answer(1, heads)
    assert second.message == Failure(2, "invalid", "no")
    got = read_tensors(heads, first.payload)
    assert list(got) == list(sent)
    for name, tensor in sent.items():
        np.testing.assert_array_equal(got[name], tensor)


@pytest.mark.parametrize("datatype", sorted(NUMPY))
def test_every_datatype_makes_the_way_there_and_back(datatype: Datatype) -> None:
    tensor = np.zeros((2, 3), NUMPY[datatype])
    if datatype is Datatype.BYTES:
        tensor[...] = [["a", "", "ä"], ["1", "x" * 1000, "\n"]]
    else:
        tensor[...] = np.arange(6).reshape(2, 3) % 2
    for sent in (tensor, tensor[:, ::2], tensor[:0]):
        heads, payload = lay_out({"x": sent})
        got = read_tensors(heads, memoryview(b"".join(payload)))["x"]
        assert got.dtype == sent.dtype
        np.testing.assert_array_equal(got, sent)


def test_a_length_over_its_bound_ends_the_conversation() -> None:
    cut = reader(max_payload=10)
    with pytest.raises(BrokenFrame, match="over"):
        cut.feed((MAX_HEADER + 1).to_bytes(4, "little") + bytes(4))
    with pytest.raises(BrokenFrame, match="over"):
        reader(max_payload=10).feed(bytes(4) + (11).to_bytes(4, "little"))


@pytest.mark.parametrize("header", [b"", b"\xc1", b"\x80", b"\x91\x01", b"\x81\xa4type\xa4call"])
def test_a_header_that_is_no_message_ends_the_conversation(header: bytes) -> None:
    with pytest.raises(BrokenFrame, match="no message"):
        reader().feed(len(header).to_bytes(4, "little") + bytes(4) + header)


def test_a_replica_cannot_speak_as_a_gateway_does() -> None:
    with pytest.raises(BrokenFrame):
        reader().feed(wire(Cancel(1)))
    frames: list[object] = list(FrameReader(FROM_GATEWAY, 0).feed(wire(Call(1, ()))))
    assert len(frames) == 1


def test_a_frame_over_four_gibibytes_is_not_sent() -> None:
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (1 << 32,), (0,)).data
    with pytest.raises(ValueError, match="too large"):
        pack(Cancel(1), [huge])


HEAD = TensorHead("x", Datatype.FP32, (2,), 8)


@pytest.mark.parametrize(
    ("heads", "size", "says"),
    [
        ([HEAD], 4, "beyond"),
        ([HEAD], 12, "4 bytes too many"),
        ([HEAD, HEAD], 16, "twice"),
        ([msgspec.structs.replace(HEAD, shape=(3,))], 8, "12 bytes"),
        ([msgspec.structs.replace(HEAD, shape=(-2,))], 8, "negative"),
        ([msgspec.structs.replace(HEAD, size=-8)], 8, "beyond"),
        ([msgspec.structs.replace(HEAD, shape=(1 << 20, 1 << 20))], 8, "more than"),
        ([msgspec.structs.replace(HEAD, name=f"x{n}", size=0, shape=(0,)) for n in range(257)],
         0, "257"),
    ],
)  # fmt: skip
def test_heads_that_lie_are_refused(heads: list[TensorHead], size: int, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        read_tensors(heads, memoryview(bytes(size)))
