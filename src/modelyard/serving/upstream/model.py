"""Models that run at providers', as a gateway sees them: one that writes, and one that embeds."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from modelyard.core.errors import DeadlineExceeded, Invalid, ModelyardError, Unavailable
from modelyard.core.tensors import Tensor
from modelyard.serving.batch import Batch, Parts, join, share
from modelyard.serving.language.answers import answered
from modelyard.serving.language.generation import Finish, Generation, Piece
from modelyard.serving.language.ports import Listener, Spoken
from modelyard.serving.language.relayed import Capability, Relayed, RelayListener
from modelyard.serving.runner import Queue
from modelyard.serving.upstream import description as described
from modelyard.serving.upstream.conversation import Conversation
from modelyard.serving.upstream.description import Description
from modelyard.serving.upstream.embedding import embed
from modelyard.serving.upstream.pool import Pool
from modelyard.serving.upstream.ports import HttpCalls
from modelyard.serving.upstream.target import Target

MOST_CALLS: Final = 256
"""Requests under way, of one model in one gateway; more are refused."""


class UpstreamModel:
    """What both have in common: as a `Runner`, room for whatever comes.

    `missing` names the providers that are not there. With a target left it is served without them;
    else `failure` says why not.
    """

    def __init__(
        self,
        told: Description,
        targets: Sequence[Target],
        missing: Sequence[str],
        calls: HttpCalls,
        most_bytes: int,
    ) -> None:
        self.call_seconds = math.inf
        self.row_seconds = 0.0
        self.stackable = False
        self.replicas: int | None = None
        self.failure = "" if targets else f"there is no provider '{missing[0]}'"
        self._told = told
        self._pool = Pool(targets)
        self._calls = calls
        self._most_bytes = most_bytes
        self._running: set[asyncio.Task[Any]] = set()

    def attach(self, queue: Queue) -> None:
        """Nobody needs to be told: there is always room."""

    def admit(self, inputs: Mapping[str, Tensor]) -> object:
        """Raises Unavailable when there is nobody to ask."""
        self._check_room()
        return None

    def has_room(self, running: int) -> bool:
        """There is always room: it is the providers' to say no."""
        return True

    def wake(self) -> None:
        """It never sleeps."""

    def _check_room(self) -> None:
        if self.failure:
            raise Unavailable(self.failure, retry_after=15)
        if len(self._running) >= MOST_CALLS:
            raise Unavailable("too many requests wait for this model already", retry_after=1)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Count it as long as it runs."""
        self._running.add(task)
        task.add_done_callback(self._running.discard)


class UpstreamWriter(UpstreamModel):
    """A `Relay`; a `Speaker` too, for those who ask as they ask an engine."""

    def relay(self, asked: Relayed, seconds: float, listeners: Sequence[RelayListener]) -> Spoken:
        """Ask a provider. Raises Invalid or Unavailable."""
        if asked.capability not in self._told.capabilities:
            served = ", ".join(self._told.capabilities)
            raise Invalid(f"this model is not served for {asked.capability}, but for {served}")
        self._check_room()
        conversation = Conversation(
            self._pool, self._calls, asked, seconds, listeners, self._most_bytes
        )
        self._keep(conversation.task)
        return conversation

    def speak(self, asked: Generation, seconds: float, listener: Listener) -> Spoken:
        """Ask a provider to go on with what an engine would be given."""
        return self.relay(self._in_their_words(asked), seconds, [_Alone(listener)])

    def run(self, batch: Batch) -> asyncio.Future[Parts]:
        """The likeliest answer to each prompt."""
        return answered(batch, self)

    def _in_their_words(self, asked: Generation) -> Relayed:
        sampling = asked.sampling
        fields: dict[str, Any] = msgspec.to_builtins(sampling)
        if asked.schema:
            schema = {"name": "answer", "schema": msgspec.Raw(asked.schema.encode())}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        if asked.prompt and Capability.COMPLETIONS in self._told.capabilities:
            if fields.pop("logprobs", False):
                fields["logprobs"] = fields.pop("top_logprobs", 0)
            fields["prompt"] = asked.prompt
            return Relayed(Capability.COMPLETIONS, fields, 1, size=len(asked.prompt))
        messages = [{"role": each.role, "content": each.content} for each in asked.messages]
        fields["messages"] = messages or [{"role": "user", "content": asked.prompt}]
        size = len(asked.prompt) + sum(len(each.content) for each in asked.messages)
        return Relayed(Capability.CHAT, fields, 1, size=size)


class UpstreamEmbedder(UpstreamModel):
    """Takes texts and gives vectors, as the signature of its description says."""

    def run(self, batch: Batch) -> asyncio.Future[Parts]:
        """Embed the texts of the batch, which is one request's."""
        task = asyncio.get_running_loop().create_task(self._embed(batch))
        self._keep(task)

        def stop() -> None:
            task.cancel()

        batch.stop.on_set(stop)
        return task

    async def _embed(self, batch: Batch) -> Parts:
        requests = batch.unanswered()
        if not requests:
            return []
        loop, batch.began = asyncio.get_running_loop(), time.monotonic()
        texts = [str(text) for text in join(requests)[described.TEXT]]
        batch.rows = len(texts)
        left = max(each.deadline for each in requests) - batch.began
        try:
            async with asyncio.timeout(left):
                _, outputs = await self._pool.pursue(self._attempt(texts), loop.time() + left)
        except TimeoutError:
            raise DeadlineExceeded(
                "the request's time was over before an answer was there"
            ) from None
        finally:
            batch.ended = time.monotonic()
        return share(requests, outputs)

    def _attempt(self, texts: Sequence[str]) -> Any:
        async def attempt(target: Target) -> dict[str, Tensor]:
            return await embed(self._calls, target, texts, self._told.dimensions, self._most_bytes)

        return attempt


class _Alone:
    """A listener that does not care who answers."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def answered_by(self, name: str) -> None:
        """It does not."""

    def piece(self, piece: Piece) -> None:
        self._listener.piece(piece)

    def finished(self, finish: Finish) -> None:
        self._listener.finished(finish)

    def broke_off(self, error: ModelyardError, so_far: Finish) -> None:
        self._listener.failed(error)

    def failed(self, error: ModelyardError) -> None:
        self._listener.failed(error)
