"""Streams of a language model over HTTP, so many at once, and what the processes used that gave
them.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

TOKENS: Final = 64
"""Of each answer: what would end it earlier is not chosen."""
LONG: Final = 15
SHORT: Final = 2
"""Words of a prompt; the long ones come to 141 tokens, template included."""
SECONDS: Final = 600.0
_SCHEDULED: Final = 2


class Contender(msgspec.Struct, frozen=True):
    """An address with its model, and the processes before the engine, if any.

    `idle` is the part of a core that those use when nobody asks.
    """

    name: str
    url: str
    model: str
    key: str = ""
    gateways: tuple[int, ...] = ()
    idle: float = 0.0


class Round(msgspec.Struct):
    """What came of some streams at once: tokens, seconds, and seconds of the gateways' work."""

    streams: int
    tokens: int
    seconds: float
    gateway_seconds: float


class StreamFailed(Exception):
    """An answer did not come, or was cut short."""


def together(asked: Contender, count: int, number: int, tokens: int = TOKENS) -> Round:
    """So many streams at once; no two `number`s have the same prompts.

    Raises:
        StreamFailed: one of them.
    """
    counts: list[int] = []

    def ask(at: int) -> None:
        counts.append(stream(asked, number * 100 + at, LONG, tokens)[0])

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(count)]
    before, began = processor(asked.gateways), time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    used = processor(asked.gateways) - before - asked.idle * took
    if counts != [tokens] * count:
        raise StreamFailed(f"{asked.name}: {count} streams gave {counts} tokens")
    return Round(count, sum(counts), took, used)


def stream(asked: Contender, seed: int, words: int, tokens: int) -> tuple[int, float]:
    """One stream: its tokens, and the seconds to the first of them. All of the sampling is told,
    since servers differ in what they take otherwise.
    """
    things = " ".join(f"item {seed * 7 + at}" for at in range(words))
    body = {
        "model": asked.model,
        "messages": [{"role": "user", "content": f"Tell a long story about {things}."}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "seed": seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    began = time.monotonic()
    first, count = 0.0, 0
    for event in _events(asked, body):
        choices = event.get("choices") or [{}]
        if not first and choices[0].get("delta", {}).get("content"):
            first = time.monotonic() - began
        if event.get("usage"):
            count = event["usage"]["completion_tokens"]
    return count, first


def processor(processes: tuple[int, ...]) -> float:
    """Seconds of processor time that they have used: by their own clocks, for what a token costs is
    far below a tick. The clock of another process has the number that clock_getcpuclockid(3) gives.
    """
    return sum(time.clock_gettime(~process << 3 | _SCHEDULED) for process in processes)


def _events(asked: Contender, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    address = urlsplit(asked.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=SECONDS)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {asked.key}"}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise StreamFailed(f"{asked.name}: {answer.status} {answer.read()[:300]!r}")
        for line in answer:
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])
    finally:
        connection.close()
