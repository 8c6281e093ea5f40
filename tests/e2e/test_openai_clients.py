"""OpenAI's client and what others have built on its API, as their makers publish them, against a
real server with real models.

Each runs in an environment of its own: a script in `openai_calls/` prints what came of its calls.
The model is a small one: what is asserted is protocol and structure, and hardly what it says.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from modelyard_client import (
    Client,
    DeploymentFailed,
    LanguageOptions,
    ServingOptions,
    Upstream,
)
from tests import real_models
from tests.dataplane import wait_until
from tests.e2e.conftest import Server, start_server, stop_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECONDS = 110.0
MOST_CONNECTIONS = 64
SCRIPTS = Path(__file__).with_name("openai_calls")
PARIS = "The capital of France is Paris"
WHOLE_PROMPT = 37
"""Tokens of the question for the capital of France, as the model's template writes it."""

PICTURES = "pictures are refused: a language model here takes text alone"
REASONING = "asked of models that reason, told by their names; left out by the suite itself"
EXCEPTIONS = {
    "openai-chat": {"chat-image-input": PICTURES, "chat-reasoning-summary": REASONING},
    "open-responses": {"image-input": PICTURES, "reasoning-summary": REASONING},
}
"""What llm-comply does not pass, of each protocol, and why."""
TALKED_ON = re.compile(
    r"finish_reason: expected 'stop', got 'length'|expected status='completed', got 'incomplete'"
)
"""Without a bound this model may talk until its context is full, which is then told as it is."""


class Speaking(NamedTuple):
    """A server with the deployments `smol` and `minilm`, and a key that may call them."""

    server: Server
    key: str

    @property
    def base_url(self) -> str:
        """Where OpenAI's clients find it."""
        return f"{self.server.url}/v1"

    def came(self, python: Path, script: str, *arguments: str) -> Any:
        """What a script prints, run by an interpreter that has its library."""
        command = [str(python), str(SCRIPTS / script), self.base_url, self.key, *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
        assert ended.returncode == 0, ended.stderr[-3000:]
        return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speaking]:
    """Do not stop or break this one: it is everybody's."""
    started = start_server(
        tmp_path_factory.mktemp("speaking") / "home",
        MODELYARD_WORKERS="1",
        MODELYARD_MAX_CONNECTIONS_PER_ADDRESS=str(MOST_CONNECTIONS),
    )
    try:
        with Client(started.url, started.admin_key, timeout=SECONDS) as client:
            smol = client.models.import_model("smol", real_models.brief_chat_model())
            assert smol.card.task == "text-generation"
            assert "135 million parameters in Q4_1" in smol.card.description
            assert {(one.engine, one.error) for one in smol.card.engines} == {
                ("openvino", ""),
                ("llamacpp", ""),
            }
            assert all(one.alone > 0 for one in smol.card.engines)
            client.models.import_model("minilm", real_models.embedder())
            # By name: which engine is the faster here is not to decide what is tested.
            openvino = ServingOptions(timeout_ms=300_000, language=LanguageOptions("openvino"))
            client.deployments.put("smol", "smol", openvino)
            client.deployments.put("minilm", "minilm")
            for name in ("smol", "minilm"):
                client.deployments.wait_ready(name, SECONDS)
            client.prices.set("smol", "token", "0.60", input_amount="0.15")
            key = client.keys.create("speaking").key
        yield Speaking(started, key)
    finally:
        code = stop_server(started.process)
    assert code == 0


@pytest.fixture(scope="module")
def relaying(speaking: Speaking, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speaking]:
    """A server whose models all run at that one, and a key for them."""
    home = tmp_path_factory.mktemp("relaying") / "home"
    started = start_server(home, MODELYARD_WORKERS="1", MODELYARD_PROVIDER_ALLOW="127.0.0.0/8")
    try:
        with Client(started.url, started.admin_key) as client:
            client.providers.put("yard", speaking.base_url, api_key=speaking.key)
            assert client.providers.test("yard").models == ["minilm", "smol"]
            can = ("chat", "completions")
            client.models.link("smol", [Upstream("yard", "smol")], capabilities=can)
            client.models.link("minilm", [Upstream("yard", "minilm")], capabilities=("embeddings",))
            for name in ("smol", "minilm"):
                client.deployments.put(name, name)
                client.deployments.wait_ready(name)
            client.prices.set("smol", "token", "0.60", input_amount="0.15")
            key = client.keys.create("relaying").key
        yield Speaking(started, key)
    finally:
        code = stop_server(started.process)
    assert code == 0


def test_llama_cpp_answers_from_its_sandbox_and_builds_upon_what_it_was_asked(
    speaking: Speaking,
) -> None:
    body = {
        "model": "llama",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 4,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 2,
    }
    llama = LanguageOptions("llamacpp", context=256, slots=2, threads=1)
    with Client(speaking.server.url, speaking.server.admin_key) as client:
        client.deployments.put("llama", "smol", ServingOptions(language=llama))
        client.deployments.wait_ready("llama", SECONDS)

        first, again = [_asked(speaking, body) for _ in range(2)]

        client.deployments.delete("llama")
    assert first["choices"][0]["message"]["content"] == again["choices"][0]["message"]["content"]
    told = again["choices"][0]["logprobs"]["content"]
    assert [len(each["top_logprobs"]) for each in told] == [2, 2, 2, 2]
    assert first["usage"]["completion_tokens"] == 4
    cached = [each["usage"]["prompt_tokens_details"]["cached_tokens"] for each in (first, again)]
    assert cached == [0, first["usage"]["prompt_tokens"] - 1]


def test_a_model_that_does_not_fit_is_refused_with_the_numbers(speaking: Speaking) -> None:
    with Client(speaking.server.url, speaking.server.admin_key) as client:
        language = LanguageOptions("llamacpp", context=384, slots=200)
        options = ServingOptions(language=language, memory_bytes=1 << 30)
        client.deployments.put("large", "smol", options)
        with pytest.raises(DeploymentFailed, match=r"MiB of memory.*1024 MiB.*lower 'context'"):
            client.deployments.wait_ready("large", 30)
        client.deployments.delete("large")


def _asked(speaking: Speaking, body: Any) -> Any:
    address = urlsplit(speaking.server.url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=SECONDS)
    with closing(connection):
        headers = {"Authorization": f"Bearer {speaking.key}"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        return json.load(connection.getresponse())


@pytest.mark.parametrize("fixture", ["speaking", "relaying"])
def test_openai_chats_streams_embeds_and_is_metered(
    fixture: str, request: pytest.FixtureRequest, clients_python: Path
) -> None:
    asked: Speaking = request.getfixturevalue(fixture)
    told = asked.came(clients_python, "openai_calls.py")

    _check_chat(told["chat"])
    _check_structures(told["structures"])
    _check_responses(told["responses"])
    _check_rest(told["rest"])
    _check_refusals(told["refusals"])
    assert told["patience"] == {"kind": "APITimeoutError"}
    assert all(text.startswith(PARIS) for text in told["async"]["texts"])
    _check_ledger(asked.server, told)


def test_openai_asks_again_when_the_server_has_too_many_connections(
    speaking: Speaking, clients_python: Path
) -> None:
    told = speaking.came(clients_python, "openai_retries.py", str(MOST_CONNECTIONS))

    assert told["kind"] == "RateLimitError"
    assert int(told["retry_after"]) >= 1
    assert told["retries"] >= 1
    assert told["width"] == 384


def test_langchain_chats_calls_tools_keeps_to_structures_and_embeds(
    speaking: Speaking, clients_python: Path
) -> None:
    told = speaking.came(clients_python, "langchain_calls.py")

    chat, responses, embeddings = told["chat"], told["responses"], told["embeddings"]
    for text in (chat["text"], chat["streamed"], responses["text"], responses["streamed"]):
        assert text.startswith(PARIS)
    for usage in (chat["usage"], chat["stream_usage"], responses["usage"]):
        assert usage["input_tokens"] == WHOLE_PROMPT
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert chat["call"]["name"] == "get_weather"
    assert set(chat["call"]["arguments"]) == {"city"}
    assert chat["told"]
    assert chat["streamed_calls"] == responses["calls"] == ["get_weather"]
    assert chat["call_pieces"] > 1
    assert chat["structures"] == ["City", "City"]
    assert responses["structure"] == "City"
    assert embeddings["widths"] == [384, 384, 384]
    assert embeddings["same"] < 1e-6
    assert embeddings["ranked"]


def test_llama_index_chats_calls_tools_keeps_to_structures_and_embeds(
    speaking: Speaking, openai2_python: Path
) -> None:
    told = speaking.came(openai2_python, "llama_index_calls.py")

    chat, embeddings = told["chat"], told["embeddings"]
    for name in ("text", "completed", "streamed", "async"):
        assert chat[name].startswith(PARIS)
    usage = chat["usage"]
    assert usage["prompt_tokens"] == WHOLE_PROMPT
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert chat["call"]["name"] == "get_weather"
    assert set(chat["call"]["arguments"]) == {"city"}
    assert chat["structure"] == "City"
    assert told["plain"].startswith(" Paris")
    assert embeddings["widths"] == [384, 384]
    assert embeddings["same"] < 1e-6


def test_pydantic_ai_runs_agents_over_both_apis(speaking: Speaking, clients_python: Path) -> None:
    told = speaking.came(clients_python, "pydantic_ai_calls.py")

    assert set(told) == {"chat", "responses"}
    for each in told.values():
        assert "Paris" in each["text"]
        assert all(count > 0 for count in each["tokens"])
        assert each["structures"] == ["City", "City"]
        assert each["tool"] == {"called": 1, "answered": True, "requests": 2}
        stream = each["stream"]
        assert stream["text"].startswith(PARIS)
        assert stream["pieces"] > 1
        assert stream["tokens"][0] == WHOLE_PROMPT
        assert stream["structure"] == "City"


def test_instructor_makes_objects_whole_and_as_they_grow(
    speaking: Speaking, openai2_python: Path
) -> None:
    told = speaking.came(openai2_python, "instructor_calls.py")

    assert set(told) == {"TOOLS", "JSON_SCHEMA"}
    for each in told.values():
        assert each["kind"] == "City"
        assert each["tokens"] > 0
        assert set(each["grown"]) == {"city", "population"}
    assert told["JSON_SCHEMA"]["partial"] > 1


@pytest.mark.parametrize("protocol", EXCEPTIONS)
def test_llm_comply_passes_all_that_the_model_can_do(
    speaking: Speaking, clients_python: Path, protocol: str
) -> None:
    command = [str(clients_python.with_name("llm-comply")), "run", "--json", "--timeout", "300"]
    where = ["-u", speaking.base_url, "-k", speaking.key, "-m", "smol", "--format", protocol]
    ended = subprocess.run(
        [*command, *where], capture_output=True, text=True, timeout=550, check=False
    )
    told = json.loads(ended.stdout)
    results = {result["id"]: result for result in told["results"]}

    failed = {
        name
        for name, result in results.items()
        if any(not TALKED_ON.fullmatch(error) for error in result.get("errors", ()))
    }
    assert len(results) == told["summary"]["total"]
    assert failed == set(EXCEPTIONS[protocol]), ended.stdout
    passed = {name.removeprefix("chat-") for name, r in results.items() if r["status"] == "passed"}
    assert {"tool-calling", "streaming-usage", "error-handling"} <= passed


def _check_chat(chat: Any) -> None:
    for text in (chat["text"], chat["streamed"]):
        assert text.startswith(PARIS)
    for usage in (chat["usage"], chat["stream_usage"]):
        assert usage["prompt_tokens"] == WHOLE_PROMPT
        assert usage["total_tokens"] == WHOLE_PROMPT + usage["completion_tokens"]
    # The token that ends an answer has no text, and so no log-probability.
    ended = chat["reason"] == "stop"
    assert chat["logprobs"] == chat["usage"]["completion_tokens"] - ended
    assert chat["tool"]["name"] == "get_weather"
    assert set(json.loads(chat["tool"]["arguments"])) == {"city"}
    assert (chat["two"], chat["stopped"]) == (2, "The capital of France is")


def _check_structures(structures: Any) -> None:
    assert structures["parsed"] == structures["grown"] == structures["tool"] == "City"
    assert structures["deltas"] > 1
    assert structures["short"] == "LengthFinishReasonError"


def _check_responses(responses: Any) -> None:
    assert "Paris" in responses["text"]
    usage = responses["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    kinds = responses["kinds"]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds.count("response.output_text.delta") > 1
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert responses["streamed"].startswith(PARIS)
    assert responses["parsed"] == "City"
    assert responses["call"]["name"] == "get_weather"
    assert set(json.loads(responses["call"]["arguments"])) == {"city"}
    assert responses["answered"]
    assert responses["chained"]["code"] == "unsupported_parameter"


def _check_rest(rest: Any) -> None:
    assert rest["completion"].startswith(" Paris")
    assert (rest["width"], rest["embedding_tokens"]) == (384, 25)
    assert rest["same"] < 1e-6
    assert rest["near"] > 0.5 > rest["far"]
    assert (rest["models"], rest["model"]) == (["minilm", "smol"], "smol")


def _check_refusals(refusals: Any) -> None:
    for names, kind, status in (
        (("unknown", "unknown_model"), "NotFoundError", 404),
        (("no_key", "no_key_embedding", "no_key_models"), "AuthenticationError", 401),
        (
            ("overflow", "too_hot", "bomb", "picture", "tokens", "no_embedder"),
            "BadRequestError",
            400,
        ),
    ):
        for name in names:
            assert (refusals[name]["kind"], refusals[name]["status"]) == (kind, status)
    assert refusals["unknown"]["code"] == "model_not_found"
    assert refusals["no_key"]["code"] == refusals["no_key_embedding"]["code"] == "invalid_api_key"
    assert refusals["overflow"]["code"] == "context_length_exceeded"
    assert refusals["tokens"]["code"] == "unsupported_parameter"


def _check_ledger(server: Server, told: Any) -> None:
    """The very tokens that the client was told, for whole answers and for what was left."""
    left = told["async"]["left"]
    ids = {
        "whole": told["chat"]["request_id"],
        "response": told["responses"]["request_id"],
        "left": left["id"].removeprefix("chatcmpl-"),
    }
    rows: dict[str, Any] = {}

    def is_there() -> bool:
        with closing(sqlite3.connect(f"file:{server.home}/modelyard.db?mode=ro", uri=True)) as db:
            for name, id_ in ids.items():
                row = db.execute(
                    "SELECT status, finish, prompt_tokens, completion_tokens FROM usage_events "
                    "WHERE request_id = ?",
                    [id_],
                ).fetchone()
                if row is not None:
                    rows[name] = row
        return len(rows) == len(ids)

    wait_until(is_there)
    usage = told["chat"]["usage"]
    assert rows["whole"] == (200, "stop", usage["prompt_tokens"], usage["completion_tokens"])
    usage = told["responses"]["usage"]
    assert rows["response"] == (200, "stop", usage["input_tokens"], usage["output_tokens"])
    status, finish, _, tokens = rows["left"]
    # A provider that is cut off has not counted yet.
    assert (status, finish.removesuffix("+estimated")) == (499, "client_gone")
    # What had been generated before the engine heard of it: far from the 300 that were asked for.
    assert left["seen"] <= tokens < 150
    with Client(server.url, server.admin_key) as client:
        line = next(one for one in client.usage.report("deployment") if one.group == "smol")
    assert line.cost is not None
    assert line.cost > 0
