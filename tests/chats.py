"""Asking for chats over ASGI, and reading their streams."""

import json
from typing import Any

from tests.dataplane import Answer, call
from tests.speaking import TalkingGateway

CHAT = "/v1/chat/completions"
HELLO = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


async def ask(gateway: TalkingGateway, path: str = CHAT, **more: Any) -> Answer:
    return await call(gateway.front, "POST", path, {**HELLO, **more}, key="k")


def events(answer: Answer) -> list[Any]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = answer.body.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
