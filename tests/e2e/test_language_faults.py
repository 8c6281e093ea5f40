"""Real language models whose streams are left, cut off, killed or too late, and hostile schemas."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from statistics import median
from typing import Any, NamedTuple

import pytest

from modelyard_client import Client, LanguageOptions, ServingOptions
from tests import real_models
from tests.e2e.calls import LEAKS, Caller
from tests.e2e.conftest import Server, kill_server, start_server, stop_server
from tests.e2e.processes import replicas, wait_until
from tests.e2e.streams import STORY, Stream

SECONDS = 110.0
QUESTION = {"model": "smol", "messages": [{"role": "user", "content": "What is a lighthouse?"}]}
PROMPT = 50
"""Tokens of a stream's prompt, by the model's own template."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Talking(NamedTuple):
    """A server with three language models, and a key for them: `smol` and `other` run by OpenVINO,
    `llama` by llama.cpp. `guest` is the key of another tenant, who may call `smol` and `llama`.
    `others` are the processes of all but `smol`; `load_seconds` is how long a replica of `other`
    takes to load.
    """

    server: Server
    key: str
    guest: str
    load_seconds: float
    others: set[int]

    def stream(self, model: str = "smol", **more: object) -> Stream:
        return Stream(self.server.url, self.key, model, **more)

    def metered(self, stream: Stream) -> Metered:
        """What the ledger says of it, once it does."""
        return self.metered_id(stream.request_id)

    def metered_id(self, request_id: str) -> Metered:
        """The same by the id."""
        found: list[Metered] = []

        def is_there() -> bool:
            path = f"file:{self.server.home}/modelyard.db?mode=ro"
            with closing(sqlite3.connect(path, uri=True)) as db:
                row = db.execute(
                    "SELECT status, finish, prompt_tokens, completion_tokens, at, duration "
                    "FROM usage_events WHERE request_id = ?",
                    [request_id],
                ).fetchone()
            if row is not None:
                found.append(Metered(*row))
            return bool(found)

        wait_until(is_there, 20, "the request is in the ledger")
        return found[0]

    def loads(self) -> Loads:
        """How often a replica of `smol` has loaded, and for how long altogether."""
        with Caller(self.server.url, self.server.admin_key) as call:
            told = call("GET", "/metrics").body.decode()
        name = "modelyard_replica_start_duration_seconds"
        found = dict(re.findall(rf'^{name}_(\w+){{.*deployment="smol",.*}} (\S+)$', told, re.M))
        return Loads(int(float(found["count"])), float(found["sum"]))


class Loads(NamedTuple):
    times: int
    seconds: float


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
            # Which engine was faster at registration is chance here.
            engine = ServingOptions(language=LanguageOptions(engine="openvino"))
            client.deployments.put("smol", "smol", engine)
            client.deployments.wait_ready("smol", SECONDS)
            first = replicas(started.process.pid)
            began = time.monotonic()
            client.deployments.put("other", "smol", engine)
            client.deployments.wait_ready("other", SECONDS)
            load_seconds = time.monotonic() - began
            llama = ServingOptions(language=LanguageOptions(engine="llamacpp"))
            client.deployments.put("llama", "smol", llama)
            client.deployments.wait_ready("llama", SECONDS)
            key = client.keys.create("talking").key
            client.catalogue.publish("smol")
            client.catalogue.publish("llama")
            publisher = next(iter(client.tenants.list())).name
            client.tenants.create("guest")
        with Client(started.url, started.admin_key, tenant="guest") as guest:
            guest.catalogue.subscribe(publisher, "smol")
            guest.catalogue.subscribe(publisher, "llama")
            guest_key = guest.keys.create("guest").key
        others = replicas(started.process.pid) - first
        yield Talking(started, key, guest_key, load_seconds, others)
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
        [engine] = replicas(talking.server.process.pid) - talking.others
        loads = talking.loads()
        os.kill(engine, signal.SIGKILL)
        died = time.monotonic()
        for victim in victims:
            assert victim.read().error["code"] == "replica_died"
            metered = talking.metered(victim)
            assert (metered.status, metered.finish, metered.prompt) == (503, "engine_gone", PROMPT)
            assert metered.tokens == victim.tokens
        back = opened.enter_context(talking.stream(max_tokens=2))
        assert back.read().reason == "length"
        away = time.monotonic() - died
        assert beside.read(beside.tokens + 5).error is None
    assert talking.metered(beside).finish == "client_gone"
    wait_until(lambda: talking.loads().times > loads.times, 20, "it is told that it has loaded")
    # Beside one that generates it takes longer than alone: the server tells how long it took.
    load = talking.loads().seconds - loads.seconds
    print(f"back after {away:.3f} s, of which it loaded for {load:.3f} s")  # noqa: T201
    assert away < load + 3
    assert away < 3 * talking.load_seconds + 10


def deep(levels: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema, "minItems": 25}
    return schema


BOMBS: dict[str, Any] = {
    "pattern": {"type": "string", "pattern": "(a+)+$"},
    "a megabyte": {"type": "string", "description": "x" * (1 << 20)},
    "recursive": {"$defs": {"x": {"anyOf": [{"$ref": "#/$defs/x"}]}}, "$ref": "#/$defs/x"},
    "recursive in a list": {
        "$defs": {"x": {"type": "array", "items": {"$ref": "#/$defs/x"}}},
        "$ref": "#/$defs/x",
    },
    "deep": deep(500),
    "choices": {"enum": [f"choice number {number}" for number in range(5000)]},
    "long text": {"type": "string", "minLength": 1 << 30},
    "long list": {"type": "array", "items": {"type": "string"}, "maxItems": 1 << 30},
    "texts of all lengths": {
        "anyOf": [{"type": "string", "maxLength": length} for length in range(1, 301)]
    },
    "lists of all lengths": {
        "anyOf": [
            {"type": "array", "items": {"type": "string"}, "maxItems": length}
            for length in range(1, 201)
        ]
    },
    "from elsewhere": {"$ref": "http://127.0.0.1:1/schema.json"},
}


@pytest.mark.parametrize("name", BOMBS)
def test_schemas_that_engines_choke_on_are_refused(talking: Talking, name: str) -> None:
    schema = BOMBS[name]
    named = {"type": "json_schema", "json_schema": {"name": "bomb", "schema": schema}}
    tool = {"type": "function", "function": {"name": "bomb", "parameters": schema}}
    with Caller(talking.server.url, talking.key) as call:
        for more in ({"response_format": named}, {"tools": [tool]}):
            answer = call("POST", "/v1/chat/completions", {**QUESTION, **more})
            assert answer.status == 400
            assert answer.json()["error"]["type"] == "invalid_request_error"
            assert answer.headers["x-request-id"].startswith("req_")
            assert not LEAKS.search(answer.body)


@pytest.mark.parametrize(
    "schema",
    [
        deep(20),
        {"type": "object", "properties": {f"p{number}": {} for number in range(60)}},
        {"type": "string", "minLength": 100, "maxLength": 120},
    ],
)
def test_an_answer_that_a_schema_keeps_from_ending_ends_with_its_time(
    talking: Talking, schema: Any
) -> None:
    named = {"type": "json_schema", "json_schema": {"name": "long", "schema": schema}}
    headers = {"x-request-timeout-ms": "3000"}
    began = time.monotonic()
    with Caller(talking.server.url, talking.key, timeout=60) as call:
        answer = call(
            "POST",
            "/v1/chat/completions",
            {**QUESTION, "max_tokens": 4000, "response_format": named},
            headers=headers,
        )
        assert answer.status in (200, 504)
        assert time.monotonic() - began < 40
        assert call("POST", "/v1/chat/completions", {**QUESTION, "max_tokens": 2}).status == 200


def test_what_fits_no_context_is_told_so_and_costs_nothing(talking: Talking) -> None:
    long = [{"role": "user", "content": "word " * 9000}]
    with Caller(talking.server.url, talking.key) as call:
        answer = call("POST", "/v1/chat/completions", {**QUESTION, "messages": long})
    assert (answer.status, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    metered = talking.metered_id(answer.headers["x-request-id"])
    assert (metered.status, metered.prompt, metered.tokens) == (400, 0, 0)


@pytest.mark.parametrize("model", ["smol", "llama"])
def test_a_flood_of_one_tenant_leaves_another_its_place(talking: Talking, model: str) -> None:
    waits = first_tokens(talking, model)
    with ExitStack() as opened:
        # More than the engine has places for one tenant: some of them wait.
        flood = [opened.enter_context(talking.stream(model)) for _ in range(24)]
        for stream in flood[:4]:
            stream.read(1)

        beside = median(first_tokens(talking, model))

        # Without a place of its own it would have waited for the end of one of these.
        assert not any(stream.over for stream in flood)
        for stream in flood[:4]:
            assert stream.read(stream.tokens + 1).reason is None
    for stream in flood[:4]:
        assert talking.metered(stream).finish == "client_gone"
    # Before and after: what else the machine does, comes and goes.
    alone = median([*waits, *first_tokens(talking, model)])
    print(f"first token after {alone:.3f} s alone, {beside:.3f} s beside")  # noqa: T201
    assert beside < 3 * alone


def first_tokens(talking: Talking, model: str) -> list[float]:
    """Seconds that the guest waits for the beginning of an answer, of some."""
    waits = []
    for number in range(11):
        # Never the same prompt: an engine that keeps one would not compute it again.
        asked = [{"role": "user", "content": f"{number} times: {STORY}"}]
        url, key = talking.server.url, talking.guest
        with Stream(url, key, model, max_tokens=2, messages=asked).read() as stream:
            assert stream.reason == "length"
            waits.append(stream.times[0])
    return waits
