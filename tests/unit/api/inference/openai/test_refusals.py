"""What a chat is refused for, and what it takes without using it."""

from pathlib import Path
from typing import Any

import pytest

from modelyard.core.errors import (
    Unavailable,
)
from tests.chats import CHAT, HELLO, TOOLS, ask
from tests.dataplane import call
from tests.speaking import TalkingGateway


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"messages": "Hello"},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "text": ""}]}]},
        {"temperature": 2.5},
        {"temperature": "hot"},
        {"top_p": 0},
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"n": 0},
        {"n": 100},
        {"stop": [""]},
        {"stop": ["x"] * 17},
        {"presence_penalty": 9},
        {"top_logprobs": 21},
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}},
        {"tools": TOOLS, "tool_choice": {"function": {"name": "other"}}},
        {"tools": TOOLS, "tool_choice": "always"},
        {"tools": [{"function": {"name": "no spaces"}}]},
        {"model": ""},
        {"model": None},
    ],
)
async def test_what_cannot_be_is_refused_and_costs_nothing(tmp_path: Path, wrong: Any) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    answer = await ask(gateway, **wrong)

    assert answer.status == 400
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid")
    assert gateway.speaker.asked == []
    await gateway.close()
    assert gateway.events() == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logit_bias", {"5": 100}),
        ("functions", [{"name": "f"}]),
        ("function_call", "auto"),
        ("audio", {"voice": "alloy"}),
        ("web_search_options", {"search_context_size": "low"}),
        ("tools", [{"type": "custom", "function": {"name": "f"}}]),
    ],
)
async def test_what_would_mean_something_else_is_refused_by_its_name(
    tmp_path: Path, field: str, value: Any
) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    answer = await ask(gateway, **{field: value})

    assert answer.status == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", field)
    assert field in error["message"]
    assert gateway.speaker.asked == []
    await gateway.close()


@pytest.mark.asyncio
async def test_what_only_labels_a_request_is_taken(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")
    labels: dict[str, Any] = {
        "user": "me",
        "metadata": {"a": "b"},
        "store": True,
        "service_tier": "flex",
        "parallel_tool_calls": False,
        "prediction": {"type": "content", "content": "Hi"},
        "reasoning_effort": "low",
        "verbosity": "low",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "modalities": ["text"],
        "functions": None,
        "logit_bias": {},
    }

    assert (await ask(gateway, **labels)).status == 200
    await gateway.close()


DANGEROUS = (
    "adapter",
    "api_base",
    "api_key",
    "base_url",
    "chat_template",
    "chat_template_kwargs",
    "deployment_id",
    "documents",
    "engine",
    "extra_body",
    "extra_headers",
    "grammar",
    "guided_grammar",
    "guided_regex",
    "key",
    "logits_processors",
    "lora",
    "mock_response",
    "model_path",
    "prompt",
    "proxy",
    "schema",
    "tenant",
    "tokenizer",
)
"""What other servers do with these ranges from a look at another's data to another's machine."""


@pytest.mark.asyncio
async def test_dangerous_fields_are_not_used(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    await ask(gateway)
    for value in ("http://127.0.0.1:1", "{{ x }}", [1], {"a": "b"}):
        given: dict[str, Any] = dict.fromkeys(DANGEROUS, value)
        await ask(gateway, **given)

    assert gateway.speaker.asked[1:] == gateway.speaker.asked[:1] * 4
    await gateway.close()


@pytest.mark.asyncio
async def test_refusals_have_the_form_of_openai(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    unknown = await ask(gateway, model="nobody")
    stranger = await call(gateway.front, "POST", CHAT, HELLO, key="wrong")
    got = await call(gateway.front, "GET", CHAT, key="k")
    nonsense = await call(gateway.front, "POST", CHAT, b"{", key="k")
    gateway.speaker.refusal = Unavailable("busy", retry_after=3)
    busy = await ask(gateway)

    assert (unknown.status, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert (stranger.status, stranger.json()["error"]["code"]) == (401, "invalid_api_key")
    assert (got.status, got.headers["allow"]) == (405, "POST")
    assert nonsense.status == 400
    assert (busy.status, busy.headers["retry-after"]) == (503, "3")
    assert busy.json()["error"]["type"] == "server_error"
    for refused in (unknown, stranger, got, nonsense, busy):
        assert refused.headers["x-request-id"].startswith("req_")
    await gateway.close()
