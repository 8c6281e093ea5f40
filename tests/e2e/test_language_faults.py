"""Streams of real language models that are left, cut off, killed or too late."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import NamedTuple

import pytest

from modelyard_client import Client
from tests import real_models
from tests.e2e.conftest import Server, kill_server, start_server, stop_server
from tests.e2e.processes import replicas, wait_until
from tests.e2e.streams import Stream

SECONDS = 110.0
PROMPT = 50
"""Tokens of a stream's prompt, by the model's own template."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Talking(NamedTuple):
    """A server with two language models, `smol` and `other`, and a key for them. `other` is the
    second one's process; `load_seconds` is how long a replica takes to load.
    """

    server: Server
    key: str
    load_seconds: float
    other: int

    def stream(self, model: str = "smol", **more: object) -> Stream:
        return Stream(self.server.url, self.key, model, **more)

    def metered(self, stream: Stream) -> Metered:
        """What the ledger says of it, once it does: within two seconds."""
        found: list[Metered] = []

        def is_there() -> bool:
            path = f"file:{self.server.home}/modelyard.db?mode=ro"
            with closing(sqlite3.connect(path, uri=True)) as db:
                row = db.execute(
                    "SELECT status, finish, prompt_tokens, completion_tokens, at, duration "
                    "FROM usage_events WHERE request_id = ?",
                    [stream.request_id],
                ).fetchone()
            if row is not None:
                found.append(Metered(*row))
            return bool(found)

        wait_until(is_there, 20, "the request is in the ledger")
        return found[0]


class Metered(NamedTuple):
    status: int
    finish: str
    prompt: int
    tokens: int
    at: int
    duration: int

    @property
    def ended(self) -> float:
        """When it was written into the journal, in seconds since 1970."""
        return (self.at + self.duration) / 1e6


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talking]:
    started = start_server(tmp_path_factory.mktemp("talking") / "home", "--workers", "1")
    try:
        with Client(started.url, started.admin_key, timeout=SECONDS) as client:
            client.models.import_model("smol", real_models.chat_model())
            client.deployments.put("smol", "smol")
            client.deployments.wait_ready("smol", SECONDS)
            first = replicas(started.process.pid)
            began = time.monotonic()
            client.deployments.put("other", "smol")
            client.deployments.wait_ready("other", SECONDS)
            load_seconds = time.monotonic() - began
            key = client.keys.create("talking").key
        [other] = replicas(started.process.pid) - first
        yield Talking(started, key, load_seconds, other)
        assert stop_server(started.process) == 0
    finally:
        kill_server(started.process)


@pytest.mark.parametrize("way", [Stream.leave, Stream.reset])
def test_an_abandoned_stream_stops_and_is_metered_for_what_came(
    talking: Talking, way: Callable[[Stream], None]
) -> None:
    beyond = []
    for tokens in (1, 4, 9):
        with talking.stream().read(tokens) as stream:
            way(stream)
        left = time.time()
        metered = talking.metered(stream)
        assert (metered.status, metered.finish, metered.prompt) == (499, "client_gone", PROMPT)
        assert metered.ended - left < 10
        beyond.append(metered.tokens - stream.tokens)
    # The engine goes on until it hears of it, which a machine with other work has it wait for.
    assert 0 <= min(beyond) <= 8
    assert max(beyond) < 200


def test_a_deadline_in_the_middle_ends_the_stream_with_an_error(talking: Talking) -> None:
    with talking.stream(headers={"x-request-timeout-ms": "2000"}).read() as stream:
        metered = talking.metered(stream)

    assert stream.error["code"] == "deadline_exceeded"
    assert stream.reason is None
    assert stream.times[-1] < 20
    assert (metered.status, metered.finish, metered.prompt) == (504, "deadline", PROMPT)
    assert stream.tokens <= metered.tokens < stream.tokens + 50


def test_an_engine_that_is_killed_takes_only_its_own_streams_with_it(talking: Talking) -> None:
    with ExitStack() as opened:
        victims = [opened.enter_context(talking.stream()).read(3) for _ in range(3)]
        beside = opened.enter_context(talking.stream("other")).read(1)
        [engine] = replicas(talking.server.process.pid) - {talking.other}
        os.kill(engine, signal.SIGKILL)
        died = time.monotonic()
        for victim in victims:
            assert victim.read().error["code"] == "replica_died"
            metered = talking.metered(victim)
            assert (metered.status, metered.finish, metered.prompt) == (503, "engine_gone", PROMPT)
            assert metered.tokens == victim.tokens
        back = opened.enter_context(talking.stream(max_tokens=2))
        assert back.read().reason == "length"
        assert time.monotonic() - died < 3 * talking.load_seconds + 10
        assert beside.read(beside.tokens + 5).error is None
    assert talking.metered(beside).finish == "client_gone"
