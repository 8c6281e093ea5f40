"""What the answers of chat and completions have in common: identity, usage, events, failures."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any, Final

import msgspec

from modelyard.api.inference.openai.errors import error_body, openai_headers, openai_status
from modelyard.api.inference.openai.reply import EVENTS, Reply
from modelyard.core.errors import Invalid, ModelyardError
from modelyard.serving.language.exchange import Usage
from modelyard.serving.language.generation import TokenLogprob

DONE: Final = b"data: [DONE]\n\n"

encode: Final = msgspec.json.Encoder().encode


class Writer:
    """One answer, whole or as a stream of events. `kind` is OpenAI's name of the object."""

    def __init__(
        self, reply: Reply, size: int, *, kind: str, prefix: str, model: str, stream: bool
    ) -> None:
        self.size = size
        self.reply = reply
        self.stream = stream
        self._head = {
            "id": prefix,
            "object": kind,
            "created": int(time.time()),
            "model": model,
        }
        # Of an event only the choices change: the rest is written once.
        self._before = b"data: " + encode(self._head)[:-1] + b',"choices":['

    @property
    def written(self) -> int:
        """Bytes of the answer so far."""
        return self.reply.written

    def answered_by(self, name: str) -> None:
        """Tell who answers, as long as headers can still tell."""
        if not self.reply.begun:
            self.reply.header(b"x-modelyard-upstream", name.encode("ascii", "replace"))

    def around(self, choice: dict[str, Any], place: bytes, usage: bytes) -> tuple[bytes, bytes]:
        """What is before and after the text in the event of a choice that has an empty text at
        `place`: from one token to the next only that changes.
        """
        before, after = self.event(choice, usage).split(place + b'""', 1)
        return before + place, after

    def event(self, choice: Any, usage: bytes = b"") -> bytes:
        """A choice as an event; `usage` is what follows the choices."""
        body = b"" if choice is None else encode(choice)
        return b"%b%b]%b}\n\n" % (self._before, body, usage)

    def send(self, event: bytes) -> None:
        """Send an event."""
        if not self.reply.begun:
            self.reply.begin(EVENTS)
        self.reply.write(event)

    def whole(self, choices: list[Any], usage: Usage) -> bytes:
        """All of the answer."""
        return encode({**self._head, "choices": choices, "usage": usage_of(usage)})

    def end(self, rest: bytes) -> None:
        """Send the rest, and that it was all."""
        if self.stream:
            self.send(rest)
            self.reply.end()
        else:
            self.reply.whole(rest)

    def failed(self, error: ModelyardError) -> int:
        """Tell of a failure: by the status, or in a stream that has begun by an event."""
        status = openai_status(error)
        if self.reply.begun:
            self.reply.write(b"data: %b\n\n" % error_body(error))
            self.reply.end()
        else:
            refuse(self.reply, error)
        return status


def refuse(reply: Reply, error: ModelyardError) -> None:
    """Answer with the failure."""
    reply.whole(error_body(error), openai_status(error), openai_headers(error))


def refuse_method(reply: Reply) -> None:
    """Answer a request that is not by POST."""
    body = error_body(Invalid("this route takes POST"))
    reply.whole(body, HTTPStatus.METHOD_NOT_ALLOWED, [(b"allow", b"POST")])


def usage_of(usage: Usage) -> dict[str, Any]:
    """Counts of tokens as clients read them."""
    told = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
    return told | {"estimated": True} if usage.estimated else told


def logprobs_of(logprobs: tuple[TokenLogprob, ...]) -> list[dict[str, Any]]:
    """Tokens with their log-probabilities as clients read them."""
    return [
        {
            **_candidate(each.token, each.logprob),
            "top_logprobs": [_candidate(one.token, one.logprob) for one in each.top],
        }
        for each in logprobs
    ]


def _candidate(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
