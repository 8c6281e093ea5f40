"""One request for text at a provider's, from its first attempt to its end.

It is always streamed, whatever our client has asked for: so a provider that hangs is noticed, a
client that leaves stops it, and what was produced by then is known.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from modelyard.core.errors import DeadlineExceeded, ModelyardError
from modelyard.serving.language.generation import Finish, Reason
from modelyard.serving.language.relayed import Capability, Relayed, RelayListener
from modelyard.serving.upstream.chunks import Chunk, ChunkReader, Counted
from modelyard.serving.upstream.events import EventReader
from modelyard.serving.upstream.failures import Kind, UpstreamFailed
from modelyard.serving.upstream.pool import Pool
from modelyard.serving.upstream.ports import HttpAnswer, HttpCalls
from modelyard.serving.upstream.refusals import refusal
from modelyard.serving.upstream.target import Target

PATHS: Final = {
    Capability.CHAT: "/chat/completions",
    Capability.COMPLETIONS: "/completions",
    Capability.EMBEDDINGS: "/embeddings",
}
EVENTS: Final = "text/event-stream"
_DONE: Final = b"[DONE]"
_STREAMED: Final = {"stream": True, "stream_options": {"include_usage": True}}
_LINGER: Final = 0.5
"""Seconds for the rest of an answer that has said all: then its connection can be used again."""
_CHARACTERS: Final = 4
"""Bytes of a token, about, where nobody has counted."""

_log = logging.getLogger(__name__)


class Conversation:
    """A `Spoken`. Each choice has its listener."""

    def __init__(
        self,
        pool: Pool,
        calls: HttpCalls,
        asked: Relayed,
        seconds: float,
        listeners: Sequence[RelayListener],
        most_bytes: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._pool = pool
        self._calls = calls
        self._asked = asked
        self._until = loop.time() + seconds
        self._listeners = listeners
        self._most_bytes = most_bytes
        self._tokens = 0
        self._reasons: dict[int, Reason] = {}
        self._usage: Counted | None = None
        self._told = False
        self.task = loop.create_task(self._run())
        self.task.add_done_callback(self._over)

    def cancel(self) -> None:
        """Cut it off; what has come counts."""
        self.task.cancel()

    async def _run(self) -> None:
        async with asyncio.timeout_at(self._until):
            target, stream = await self._pool.pursue(self._open, self._until)
        try:
            async with asyncio.timeout_at(self._until):
                await self._listen(target, stream)
            self._end()
            await stream.drain()
        except UpstreamFailed as failure:
            self._pool.failed(target, failure)
            raise failure.told(target.provider.name) from None
        finally:
            stream.close()

    async def _open(self, target: Target) -> _Stream:
        """Ask the target; returns when it has begun to say something."""
        path = PATHS[self._asked.capability]
        call = target.call(path, {**self._asked.fields, **_STREAMED}, self._asked.headers)
        answer = await self._calls.open(call)
        try:
            if answer.status != 200:
                raise await refusal(answer, target.provider.name)
            if answer.headers.get("content-type", "").partition(";")[0].strip() != EVENTS:
                raise UpstreamFailed(Kind.MALFORMED, "it is no stream of events")
            chunks = ChunkReader(self._asked.capability, self._asked.choices)
            stream = _Stream(answer, chunks, self._most_bytes)
            await stream.begin()
        except BaseException:
            answer.close()
            raise
        return stream

    async def _listen(self, target: Target, stream: _Stream) -> None:
        self._listeners[0].answered_by(target.upstream.name)
        while (chunks := await stream.chunks()) is not None:
            for chunk in chunks:
                self._pass_on(chunk)
        if len(self._reasons) < len(self._listeners):
            raise UpstreamFailed(Kind.BROKEN, "the stream ended before its end")

    def _pass_on(self, chunk: Chunk) -> None:
        self._usage = chunk.usage or self._usage
        for index, piece in chunk.pieces:
            self._tokens += piece.tokens
            self._listeners[index].piece(piece)
        self._reasons.update(chunk.ends)

    def _end(self) -> None:
        self._finish([self._reasons[index] for index in range(len(self._listeners))])

    def _over(self, task: asyncio.Task[None]) -> None:
        if self._told:
            return
        if task.cancelled():
            self._finish([Reason.CANCELLED] * len(self._listeners))
            return
        error = task.exception()
        if isinstance(error, TimeoutError):
            error = DeadlineExceeded("the request's time is over; what came so far is all")
        elif not isinstance(error, ModelyardError):
            _log.error("asking a provider failed", exc_info=error)
            error = ModelyardError("internal error while a provider was asked")
        self._told = True
        if not self._tokens:
            for listener in self._listeners:
                listener.failed(error)
            return
        finishes = self._finishes([Reason.CANCELLED] * len(self._listeners))
        for listener, so_far in zip(self._listeners, finishes, strict=True):
            listener.broke_off(error, so_far)

    def _finish(self, reasons: Sequence[Reason]) -> None:
        self._told = True
        for listener, finish in zip(self._listeners, self._finishes(reasons), strict=True):
            listener.finished(finish)

    def _finishes(self, reasons: Sequence[Reason]) -> list[Finish]:
        """The counts of all choices are the first one's: those that the provider has told last,
        and no fewer than have come; else by what was asked and what has come.
        """
        usage, (first, *others) = self._usage, reasons
        if usage is None:
            prompt = -(-self._asked.size // _CHARACTERS)
            counted = Finish(first, prompt, self._tokens, estimated=True)
        else:
            completion = usage.completion_tokens
            if len(self._reasons) < len(reasons):
                # It was told in the midst of it.
                completion = max(completion, self._tokens)
            counted = Finish(first, usage.prompt_tokens, completion, usage.cached)
        return [counted, *(Finish(reason, 0, 0) for reason in others)]


class _Stream:
    """The chunks of one answer."""

    def __init__(self, answer: HttpAnswer, chunks: ChunkReader, most_bytes: int) -> None:
        self._answer = answer
        self._reader = chunks
        self._left = most_bytes
        self._events = EventReader()
        self._come: list[Chunk] = []
        self._done = False

    async def begin(self) -> None:
        """Wait for the first chunk that says something."""
        while not self._done and not any(chunk.pieces or chunk.ends for chunk in self._come):
            await self._more()
        if not self._come:
            raise UpstreamFailed(Kind.BROKEN, "an empty answer")

    async def chunks(self) -> list[Chunk] | None:
        """Those that come next; None at the end."""
        while not self._come and not self._done:
            await self._more()
        come, self._come = self._come, []
        return come or None

    async def drain(self) -> None:
        """Wait a moment for the answer's end, so that the connection can be used again."""
        with suppress(UpstreamFailed, TimeoutError):
            async with asyncio.timeout(_LINGER):
                while self._left > 0 and (part := await self._answer.read()):
                    self._left -= len(part)

    def close(self) -> None:
        self._answer.close()

    async def _more(self) -> None:
        part = await self._answer.read()
        if not part:
            self._done = True
            return
        self._left -= len(part)
        if self._left < 0:
            raise UpstreamFailed(Kind.MALFORMED, "the answer is too large")
        for data in self._events.feed(part):
            if data == _DONE:
                self._done = True
                return
            self._come.append(self._reader.read(data))
