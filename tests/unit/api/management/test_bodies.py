"""Bodies come in whole or not at all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from modelyard.api.asgi import Message, Receive, Scope, Send
from modelyard.api.management import bodies
from modelyard.api.management.admission import LANE, Lane
from modelyard.api.management.bodies import BODY, MAX_BODY, WholeBody
from modelyard.core.errors import Invalid, TooLarge

pytestmark = pytest.mark.asyncio


class Inner:
    """Notes what the next layer would see."""

    def __init__(self) -> None:
        self.seen: list[Message] = []
        self.body: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.body = scope.get(BODY)
        self.seen = [await receive(), await receive()]


def _receiving(*messages: Message) -> Receive:
    left = iter([*messages, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(left)

    return receive


async def _sent(_: Message) -> None:
    raise AssertionError("nothing is to be sent here")


def _scope(method: str = "POST", **opt: object) -> Scope:
    return {"method": method, "headers": [], "route_handler": SimpleNamespace(opt=opt)}


def _part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_the_next_layer_gets_the_body_in_one_piece_and_hears_of_the_end() -> None:
    inner = Inner()
    receive = _receiving(_part(b"ab", more=True), _part(b"c", more=False))
    await WholeBody(inner)(_scope(), receive, _sent)
    assert inner.body == b"abc"
    assert inner.seen == [_part(b"abc", more=False), {"type": "http.disconnect"}]


async def test_uploads_and_questions_are_left_as_they_come() -> None:
    for scope in (_scope("PUT", **{LANE: Lane.UPLOADS}), _scope("GET")):
        inner = Inner()
        first, second = _part(b"a", more=True), _part(b"b", more=False)
        await WholeBody(inner)(scope, _receiving(first, second), _sent)
        assert inner.body is None
        assert inner.seen == [first, second]


async def test_a_body_over_the_bound_goes_no_further() -> None:
    inner = Inner()
    receive = _receiving(_part(b"x" * MAX_BODY, more=True), _part(b"x", more=False))
    with pytest.raises(TooLarge):
        await WholeBody(inner)(_scope(), receive, _sent)
    assert inner.seen == []


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_SECONDS", 0.01)

    async def silent() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    with pytest.raises(Invalid, match="did not come"):
        await WholeBody(Inner())(_scope(), silent, _sent)
