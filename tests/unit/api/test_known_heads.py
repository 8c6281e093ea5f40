"""Heads that are known mean what they meant before, and nothing else is taken for one."""

import pytest

from modelyard.api.http import HttpRequest
from modelyard.api.known_heads import MAX_HEAD, MAX_HEADS, Head, KnownHeads

BYTES = b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: 3\r\n\r\n"
HEAD = Head("POST", "/v2/models/m/infer", {b"content-length": b"3"}, 3)


def learnt(data: bytes, head: Head = HEAD) -> KnownHeads:
    heads = KnownHeads()
    heads.learn(data, head)
    return heads


def test_a_known_head_is_a_request_with_whatever_body() -> None:
    heads = learnt(BYTES + b"one")
    for body in (b"two", b"\r\n\r"):
        request = heads.request_in(BYTES + body)
        assert request == HttpRequest("POST", "/v2/models/m/infer", HEAD.headers, body)


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n\r\n", BYTES, BYTES + b"tw", BYTES + b"two" + BYTES, BYTES.lower() + b"two"],
    ids=["nothing", "no head", "no body", "half a body", "two requests", "another head"],
)
def test_anything_else_is_left_to_the_parser(data: bytes) -> None:
    assert learnt(BYTES + b"one").request_in(data) is None


@pytest.mark.parametrize(
    "data",
    [BYTES + b"one" + BYTES + b"one", BYTES.replace(b"\r\n", b"\n") + b"a\r\n\r\nb"],
    ids=["two requests", "a head that ends otherwise"],
)
def test_a_head_is_known_only_if_its_body_is_all_that_follows(data: bytes) -> None:
    assert learnt(data).request_in(data) is None


@pytest.mark.parametrize("name", [b"transfer-encoding", b"expect", b"upgrade"])
def test_a_head_that_asks_for_more_than_a_body_is_not_kept(name: bytes) -> None:
    head = Head("POST", "/", {name: b"anything"}, 3)
    assert learnt(BYTES + b"one", head).request_in(BYTES + b"one") is None


def test_a_long_head_is_not_kept() -> None:
    long = BYTES[:-2] + b"x: " + b"y" * MAX_HEAD + b"\r\n\r\n"
    assert learnt(long + b"one").request_in(long + b"one") is None


def test_it_begins_anew_when_it_is_full() -> None:
    heads = KnownHeads()
    for number in range(MAX_HEADS + 1):
        heads.learn(BYTES[:-2] + b"x: %d\r\n\r\none" % number, HEAD)
    assert heads.request_in(BYTES[:-2] + b"x: 0\r\n\r\none") is None
    assert heads.request_in(BYTES[:-2] + b"x: %d\r\n\r\none" % MAX_HEADS) is not None
