"""The frames on disk: whatever happens to the bytes, no wrong record comes out, and no error."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.events import PredictionMade
from modelyard.core.journal import MAX_FRAME, frame, is_torn, unframe

word = st.text("abcxyz019_-", min_size=1, max_size=20)
count = st.integers(0, 2**63 - 1)
events = st.builds(
    PredictionMade, word, count, word, word, word, word, count, st.integers(100, 599),
    count, count, count, count,
)  # fmt: skip


@given(st.lists(events, max_size=6))
def test_what_was_framed_comes_back_in_order(story: list[PredictionMade]) -> None:
    frames = [frame(event) for event in story]
    read = list(unframe(b"".join(frames)))
    assert [event for _, event in read] == story
    ends = [sum(map(len, frames[: at + 1])) for at in range(len(frames))]
    assert [end for end, _ in read] == ends


@given(st.lists(events, min_size=1, max_size=4), st.data())
def test_a_cut_anywhere_leaves_the_whole_records_before_it(
    story: list[PredictionMade], data: st.DataObject
) -> None:
    whole = b"".join(map(frame, story))
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    read = list(unframe(cut))
    assert [event for _, event in read] == story[: len(read)]
    rest = cut[read[-1][0] if read else 0 :]
    assert is_torn(rest)
    assert len(rest) < len(frame(story[min(len(read), len(story) - 1)]))


@given(st.lists(events, min_size=1, max_size=4), st.data())
def test_a_flipped_bit_never_gives_a_wrong_record(
    story: list[PredictionMade], data: st.DataObject
) -> None:
    damaged = bytearray(b"".join(map(frame, story)))
    at = data.draw(st.integers(0, len(damaged) * 8 - 1))
    damaged[at // 8] ^= 1 << at % 8
    read = [event for _, event in unframe(bytes(damaged))]
    assert read == story[: len(read)]
    assert len(read) < len(story)


@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_read_without_an_error(noise: bytes) -> None:
    for end, _ in unframe(noise):
        assert 0 < end <= len(noise)


@given(st.binary(max_size=100))
def test_a_good_checksum_over_something_else_is_not_a_record(payload: bytes) -> None:
    framed = struct.pack("<II", len(payload), zlib.crc32(payload)) + payload
    assert list(unframe(framed)) == []


@pytest.mark.parametrize("size", [1, 7, 8, 9, 4096])
def test_zeros_after_a_power_cut_end_the_file(size: int) -> None:
    event = PredictionMade("req_1", 1, "t", "k", "d", "m", 1, 200, 1, 1, 1, 1)
    data = frame(event) + bytes(size)
    assert [record for _, record in unframe(data)] == [event]
    assert is_torn(bytes(size))


def test_an_announced_length_beyond_the_bound_is_not_waited_for() -> None:
    assert list(unframe(struct.pack("<II", MAX_FRAME + 1, 0) + bytes(MAX_FRAME + 1))) == []
    assert not is_torn(struct.pack("<II", 2**32 - 1, 1))


def test_whole_bytes_that_are_no_record_are_damage() -> None:
    event = PredictionMade("req_1", 1, "t", "k", "d", "m", 1, 200, 1, 1, 1, 1)
    damaged = bytearray(frame(event))
    damaged[-1] ^= 1
    assert not is_torn(bytes(damaged))
