"""Events, descriptions and refusals: what is read of what others write."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.errors import Invalid
from modelyard.serving.language.model import SIGNATURE
from modelyard.serving.upstream.description import Upstream, read_description
from modelyard.serving.upstream.events import MAX_EVENT, EventReader
from modelyard.serving.upstream.failures import UpstreamFailed
from modelyard.serving.upstream.refusals import MAX_REST, read_retry_after

STREAM = (
    b": a comment\r\n\r\ndata: one\r\n\r\n"
    b"event: x\nid: 3\ndata:two\ndata: more\n\n\n"
    b'data: {"a": 1}\n\ndata: unfinished'
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_however_they_come(cuts: list[int]) -> None:
    reader, places = EventReader(), sorted({0, len(STREAM), *cuts})
    come = [event for start, end in pairwise(places) for event in reader.feed(STREAM[start:end])]
    assert come == [b"one", b"two\nmore", b'{"a": 1}']


@pytest.mark.parametrize("part", [b"x" * 65_536, b"data: x" + b"y" * 8184 + b"\n"])
def test_an_event_has_a_bound(part: bytes) -> None:
    reader = EventReader()
    for _ in range(MAX_EVENT // len(part) - 1):
        assert reader.feed(part) == []
    with pytest.raises(UpstreamFailed, match="too large"):
        _feed(reader, part * 2)


def _feed(reader: EventReader, data: bytes) -> None:
    """In two parts, of which the second finds the first too large at the latest."""
    reader.feed(data)
    reader.feed(b"x")


def test_many_small_events_have_none() -> None:
    reader = EventReader()
    count = sum(len(reader.feed(b"data: x\n\n" * 1000)) for _ in range(300))
    assert count == 300_000


def describe(**more: Any) -> bytes:
    return json.dumps({"upstreams": [{"provider": "p", "model": "m"}], **more}).encode()


def test_a_description() -> None:
    told = read_description(describe())
    assert told.upstreams == (Upstream("p", "m", 1, 0),)
    assert (told.signature, told.embeds) == (SIGNATURE, False)
    vectors = read_description(describe(capabilities=["embeddings"], dimensions=3))
    assert vectors.signature.outputs[0].shape == (-1, 3)
    assert read_description(describe(capabilities=["embeddings"])).signature.outputs[0].shape == (
        -1,
        -1,
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no description"),
        (b"\xff", "no description"),
        (b"{}", "upstreams"),
        (b'{"upstreams": []}', "length >= 1"),
        (describe(upstreams=[{"provider": "p", "model": "m"}] * 2), "named twice"),
        (describe(upstreams=[{"provider": "p", "model": "m", "weight": 0}]), "weight"),
        (describe(upstreams=[{"provider": "p", "model": "m", "url": "http://x"}]), "url"),
        (describe(upstreams=[{"provider": "p", "model": "a b"}]), "model"),
        (describe(capabilities=[]), "capabilities"),
        (describe(capabilities=["sing"]), "sing"),
        (describe(capabilities=["chat", "embeddings"]), "stands alone"),
        (describe(dimensions=3), "for a model that embeds"),
        (b"[" * 60_000, "no description"),
        (b" " * 70_000, "at most"),
    ],
)
def test_what_is_no_description(data: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        read_description(data)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("1e99", MAX_REST), ("nan", None), ("soon", None)],
)
def test_when_to_come_back(text: str, seconds: float | None) -> None:
    assert read_retry_after(text) == seconds


def test_when_to_come_back_as_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=100)
    seconds = read_retry_after(format_datetime(later, usegmt=True))
    assert seconds is not None
    assert 90 <= seconds <= 100
