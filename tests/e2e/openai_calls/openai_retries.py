"""How OpenAI's client meets a server that has too many connections: `... URL KEY MOST`."""

from __future__ import annotations

import json
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

import openai


def occupied(url: str, connections: int) -> list[socket.socket]:
    """Connections that ask for nothing."""
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    there = (address.hostname, address.port)
    return [socket.create_connection(there) for _ in range(connections)]


def main(url: str, key: str, most: str) -> None:
    ask: Any = {"model": "minilm", "input": "a cat"}
    held = occupied(url, int(most))
    with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as hasty:
        try:
            hasty.embeddings.create(**ask)
            kind, wait = "", None
        except openai.RateLimitError as error:
            kind, wait = type(error).__name__, error.response.headers.get("retry-after")

    def make_room(response: Any) -> None:
        if response.status_code == 429:
            for each in held:
                each.close()

    hooks: Any = {"response": [make_room]}
    with openai.OpenAI(
        base_url=url,
        api_key=key,
        max_retries=8,
        http_client=openai.DefaultHttpxClient(event_hooks=hooks),
    ) as patient:
        answer = patient.embeddings.with_raw_response.create(**ask)
    told = {
        "kind": kind,
        "retry_after": wait,
        "retries": answer.retries_taken,
        "width": len(answer.parse().data[0].embedding),
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
