"""An app that is made when it is first asked."""

import asyncio
import threading

import pytest

from modelyard.api.asgi import App, Receive, Scope, Send, respond
from modelyard.api.deferred import DeferredApp
from tests.dataplane import call

pytestmark = pytest.mark.asyncio


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, b"here")


async def test_it_is_made_once_for_all_that_ask() -> None:
    made: list[str] = []

    def make() -> App:
        made.append(threading.current_thread().name)
        return answering

    app = DeferredApp(make)
    assert made == []
    answers = await asyncio.gather(*(call(app, "GET", "/") for _ in range(5)))
    assert [answer.body for answer in answers] == [b"here"] * 5
    assert len(made) == 1
    assert made[0] != threading.main_thread().name


async def test_requests_do_not_wait_forever() -> None:
    proceed = threading.Event()

    def make() -> App:
        proceed.wait(20)
        return answering

    app = DeferredApp(make, patience=0.01)
    answer = await call(app, "GET", "/")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "unavailable"
    proceed.set()
    while (await call(app, "GET", "/")).status == 503:
        pass
    assert (await call(app, "GET", "/")).body == b"here"


async def test_what_fails_is_tried_again() -> None:
    tries: list[int] = []

    def make() -> App:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("not this time")
        return answering

    app = DeferredApp(make)
    with pytest.raises(RuntimeError):
        await call(app, "GET", "/")
    assert (await call(app, "GET", "/")).body == b"here"
