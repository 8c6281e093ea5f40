"""Language models: llama.cpp's own server against ours, on the same file: `python -m bench.llm`.

All have the same cores, the same file (SmolLM2), the same sampling and as many streams to give;
each round asks one after the other, so that what else the machine does falls on all of them.
Streams are of 64 tokens, their prompts of about 140, and none is asked twice: an engine that keeps
prompts, also behind LiteLLM's proxy, would not compute them. All slots have had a prompt before.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from bench.environments import ROOT
from bench.language_servers import (
    LITELLM,
    LLAMACPP,
    OWN,
    litellm_proxy,
    our_server,
    own_server,
    with_idle,
)
from bench.machine import machine
from bench.streams import SECONDS, SHORT, TOKENS, Contender, Round, StreamFailed, stream, together
from modelyard.cli.demo_models import fetch_chat_model, fetch_embedder
from modelyard_client import Client

STREAMS: Final = (1, 4, 8, 16)
PAGE: Final = ROOT / "docs/explanation/language-performance.md"
_FIRST_NUMBER: Final = 20
"""From here on, for more than a hundred runs, prompts are equally long: their numbers have five
digits.
"""
_FIRST_TOKENS: Final = 30
_TEXTS: Final = 256
_BATCHES: Final = (1, 4, 8, 16, 32, 64)

Table = dict[tuple[str, int], list[Round]]


class Results(msgspec.Struct):
    """All that was measured. `firsts` is the median of seconds to the first token of the own
    server, and of what ours takes longer with the same prompt; `embeddings` are texts a second, in
    process and of the server.
    """

    contenders: tuple[Contender, ...]
    streams: Sequence[int]
    table: Table
    firsts: tuple[float, float]
    embeddings: tuple[float, float]


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the page or publish it."""
    parser = argparse.ArgumentParser("bench.llm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--streams", default=",".join(map(str, STREAMS)))
    parser.add_argument("--peers", action="store_true", help="LiteLLM's proxy, too")
    parser.add_argument("--publish", action="store_true", help=f"write {PAGE.name}")
    told = parser.parse_args(arguments)
    streams = [int(each) for each in told.streams.split(",")]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-llm-") as folder:
        try:
            results = _measure(Path(folder), told.rounds, streams, peers=told.peers)
        except StreamFailed as error:
            raise SystemExit(str(error)) from None
    where = machine(0, 0, told.rounds, 0.0, load, {})
    page = _page(results) + (
        f"\nMeasured on {where.date} on {where.cores} cores ({where.processor}), Python "
        f"{where.python}, {told.rounds} rounds, load average before them {load:.1f}.\n"
    )
    if told.publish:
        PAGE.write_text(page, "utf-8")
    print(page)


def _measure(folder: Path, rounds: int, streams: Sequence[int], *, peers: bool) -> Results:
    file, embedder = fetch_chat_model(folder), fetch_embedder(folder)
    with ExitStack() as stack:
        own = stack.enter_context(own_server(file, max(streams)))
        *ours, embeds = stack.enter_context(our_server(folder, file, embedder, max(streams)))
        others = [stack.enter_context(litellm_proxy(folder, own))] if peers else []
        contenders = tuple(with_idle(each) for each in (own, *ours, *others))
        numbers = itertools.count(_FIRST_NUMBER)
        for _ in range(2):
            for each in contenders:
                together(each, max(streams), next(numbers), tokens=1)
        table: Table = {(each.name, count): [] for each in contenders for count in streams}
        for _ in range(rounds):
            for count in streams:
                for each in contenders:
                    table[each.name, count].append(together(each, count, next(numbers)))
        firsts = _first_tokens(contenders[0], contenders[1])
        return Results(contenders, streams, table, firsts, _embeddings(embeds, embedder))


def _first_tokens(own: Contender, ours: Contender) -> tuple[float, float]:
    """Asked in turns, with short prompts: the less the engine takes, the clearer is the rest."""
    theirs, longer = [], []
    for number in range(_FIRST_TOKENS):
        pair = (own, ours) if number % 2 else (ours, own)
        first = {each.name: stream(each, 20_000 + number, SHORT, 2)[1] for each in pair}
        theirs.append(first[own.name])
        longer.append(first[ours.name] - first[own.name])
    return median(theirs), median(longer)


def _embeddings(asked: Contender, folder: Path) -> tuple[float, float]:
    """Texts a second: of the same graph in this process at its best batch, and of the server."""
    import numpy as np

    from modelyard.registry.archives import pack
    from modelyard.serving.runtimes.contract import RuntimeManifest
    from modelyard.serving.runtimes.embedder import load

    archive = folder.with_suffix(".zip")
    pack(folder, archive)
    texts = [f"A sentence of some words, by which number {at} is told." for at in range(_TEXTS)]
    model = load(folder.parent, RuntimeManifest("embedder", {"model": archive.name}))
    assert model.signature is not None
    name = model.signature.inputs[0].name
    inside = served = 0.0
    with Client(asked.url, asked.key, timeout=SECONDS) as client:
        for batch in _BATCHES:
            parts = [texts[at : at + batch] for at in range(0, _TEXTS, batch)]
            began = time.monotonic()
            for part in parts:
                model.infer({name: np.array(part, dtype=np.object_)})
            inside = max(inside, _TEXTS / (time.monotonic() - began))
            began = time.monotonic()
            for part in parts:
                client.predict(asked.model, part)
            served = max(served, _TEXTS / (time.monotonic() - began))
    model.unload()
    return inside, served


def _page(told: Results) -> str:
    own, longer = (seconds * 1000 for seconds in told.firsts)
    inside, served = told.embeddings
    lines = [
        "# How fast language models are",
        "",
        f"SmolLM2-135M-Instruct in Q4_1, streams of {TOKENS} tokens after prompts of about 140, in",
        "one run on the same cores, with the same sampling: `make bench-llm`. Tokens a second of",
        "all streams, prompts included; in brackets as a multiple of llama.cpp's own server.",
        "",
        *_rates(told),
        "",
        "Targets: 0.97 with the engine llamacpp; with auto 1.2 at one stream and 3 at 8 and 16.",
        "",
        f"- Time to the first token of a short prompt, one stream, median: {own:.0f} ms from",
        f"  llama.cpp's own server; ours with the same engine takes {longer:+.1f} ms (target: at",
        "  most +5 ms).",
        *_costs(told),
        f"- Embeddings: {inside:.0f} texts/s of the graph in process at its best batch, "
        f"{served:.0f} through the server: {served / inside:.2f} of it (target: 0.9).",
    ]
    return "\n".join(lines) + "\n"


def _rates(told: Results) -> list[str]:
    rates = {
        place: median(each.tokens / each.seconds for each in rounds)
        for place, rounds in told.table.items()
    }
    heads = [f"{count} stream{'s' if count > 1 else ''}" for count in told.streams]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for each in told.contenders:
        cells = [
            f"{rates[each.name, count]:.0f} ({rates[each.name, count] / rates[OWN, count]:.2f})"
            for count in told.streams
        ]
        lines.append(f"| {each.name} | {' | '.join(cells)} |")
    return lines


def _costs(told: Results) -> list[str]:
    """The processor time that goes into a token, or a request, before the engine."""
    lines = [
        "- Processor time of the processes before the engine, beyond what they use while nobody",
        "  asks (target of ours: at most 50 us a token):",
    ]
    requests: dict[str, float] = {}
    for each in told.contenders:
        rounds = [one for count in told.streams for one in told.table[each.name, count]]
        if each.gateways:
            used = sum(one.gateway_seconds for one in rounds) * 1e6
            token = used / sum(one.tokens for one in rounds)
            requests[each.name] = used / sum(one.streams for one in rounds)
            lines.append(
                f"    - {each.name}: {token:.0f} us a token, {requests[each.name]:.0f} us a request"
            )
    if LITELLM in requests:
        times = requests[LITELLM] / requests[LLAMACPP]
        lines.append(f"    - LiteLLM's is {times:.1f} times ours of a request (target: 10)")
    return lines


if __name__ == "__main__":
    main(sys.argv[1:])
