"""`modelyard chat`: talk to a language model from the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from modelyard.cli.display import terminal
from modelyard_client import Client
from modelyard_client.chat import ChatMessage, ChatUsage


def chat(
    deployment: str,
    question: str = "",
    /,
    *,
    system: str = "",
    max_tokens: int = 512,
    temperature: float = 0.7,
) -> None:
    """Talk to a language model. Without a question, each line of the input is one.

    On a terminal Ctrl-C ends an answer, and at the prompt the talk.

    Args:
        deployment: The deployment.
        question: The only question.
        system: What the model is told first.
        max_tokens: Most tokens of one answer.
        temperature: From 0, which takes the likeliest answer, to 2.
    """
    messages = [ChatMessage("system", system)] if system else []
    with Client() as client:
        for line in [question] if question else _questions():
            messages.append(ChatMessage("user", line))
            began = time.monotonic()
            pieces = client.chat.stream(
                deployment, messages, max_tokens=max_tokens, temperature=temperature
            )
            try:
                answer, usage = _show(pieces)
            except KeyboardInterrupt:
                # The model stops with the connection; what it was asked is taken back.
                if question or not sys.stdin.isatty():
                    raise
                messages.pop()
                sys.stdout.write("\n")
                continue
            messages.append(ChatMessage("assistant", answer))
            if usage is not None and sys.stderr.isatty():
                rate = usage.completion_tokens / max(time.monotonic() - began, 1e-6)
                terminal(error=True).print(
                    f"{usage.prompt_tokens} + {usage.completion_tokens} tokens, {rate:.0f} a second"
                )


def _questions() -> Iterator[str]:
    """The lines of the input that say something; a person is asked for each."""
    asks = sys.stdin.isatty()
    while True:
        if asks:
            sys.stderr.write("> ")
            sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _show(pieces: Iterator[str | ChatUsage]) -> tuple[str, ChatUsage | None]:
    """Print the answer as it comes; returns it whole, and its usage."""
    answer, usage = [], None
    for piece in pieces:
        if isinstance(piece, ChatUsage):
            usage = piece
        else:
            answer.append(piece)
            sys.stdout.write(piece)
            sys.stdout.flush()
    sys.stdout.write("\n")
    return "".join(answer), usage
