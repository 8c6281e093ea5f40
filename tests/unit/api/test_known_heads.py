"""Heads that are known mean what they meant before, and nothing else is taken for one."""

import pytest

from modelyard.api.http import HttpRequest
from modelyard.api.known_heads import MAX_HEAD, MAX_HEADS, Head, KnownHeads

BYTES = b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: 3\r\n\r\n"
HEAD = Head("POST", "/v2/models/m/infer", {b"content-length": b"3"}, 3, keep_alive=True)


def learnt(data: bytes, size: int, head: Head = HEAD) -> KnownHeads:
    heads = KnownHeads()
    heads.learn(data, head, size)
    return heads


@pytest.mark.parametrize("came", [b"", b"o", b"one"], ids=["no body", "a part of it", "all of it"])
def test_a_known_head_is_found_before_whatever_body(came: bytes) -> None:
    heads = learnt(BYTES + came, len(came))
    for body in (b"", b"tw", b"two", b"\r\n\r"):
        assert heads.find(BYTES + body) == (HEAD, len(BYTES))


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n\r\n", BYTES[:-1], BYTES + b"two" + BYTES, BYTES.lower() + b"two"],
    ids=["nothing", "no head", "half a head", "two requests", "another head"],
)
def test_anything_else_is_left_to_the_parser(data: bytes) -> None:
    assert learnt(BYTES + b"one", 3).find(data)[0] is None


@pytest.mark.parametrize(
    "data",
    [BYTES + b"one" + BYTES + b"one", BYTES.replace(b"\r\n", b"\n") + b"a\r\n\r\nb"],
    ids=["two requests", "a head that ends otherwise"],
)
def test_a_head_is_known_only_if_its_body_is_all_that_follows(data: bytes) -> None:
    assert learnt(data, 3).find(data)[0] is None


@pytest.mark.parametrize("name", [b"transfer-encoding", b"expect", b"upgrade"])
def test_a_head_that_asks_for_more_than_a_body_is_not_kept(name: bytes) -> None:
    head = Head("POST", "/", {name: b"anything"}, 3, keep_alive=True)
    assert learnt(BYTES + b"one", 3, head).find(BYTES + b"one")[0] is None


def test_a_head_that_ends_the_connection_is_not_kept() -> None:
    head = Head("POST", "/", {b"connection": b"close"}, 3, keep_alive=False)
    assert learnt(BYTES + b"one", 3, head).find(BYTES + b"one")[0] is None


def test_a_long_head_is_not_kept() -> None:
    long = BYTES[:-2] + b"x: " + b"y" * MAX_HEAD + b"\r\n\r\n"
    assert learnt(long + b"one", 3).find(long + b"one")[0] is None


def test_it_begins_anew_when_it_is_full() -> None:
    heads = KnownHeads()
    for number in range(MAX_HEADS + 1):
        heads.learn(BYTES[:-2] + b"x: %d\r\n\r\none" % number, HEAD, 3)
    assert heads.find(BYTES[:-2] + b"x: 0\r\n\r\none")[0] is None
    assert heads.find(BYTES[:-2] + b"x: %d\r\n\r\none" % MAX_HEADS)[0] is not None


def test_the_request_has_what_the_head_said() -> None:
    assert HEAD.request(b"one") == HttpRequest("POST", HEAD.path, HEAD.headers, b"one")
