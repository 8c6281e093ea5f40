"""llama.cpp, by xllamacpp: a language model from any GGUF file, with continuous batching.

The library is llama.cpp's own server in this process. It is asked by function calls; the socket
that it insists on is nobody's business, and in a sandbox it does not even exist.
"""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.serving.language.engines import Plan
from modelyard.serving.language.generation import (
    Candidate,
    ContextOverflow,
    Finish,
    Generation,
    Hear,
    Piece,
    Reason,
    TokenLogprob,
)
from modelyard.serving.language.model import NO_TEMPLATE, EngineFailed, TextModel
from modelyard.serving.runtimes.contract import CannotLoad
from modelyard.serving.runtimes.llama_slots import Slots
from modelyard.serving.runtimes.measuring import resident_bytes
from modelyard.serving.stopping import StopSignal

_OVERFLOW: Final = "exceed_context_size_error"
_BAD_REQUEST: Final = "invalid_request_error"
_COMPACT: Final = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_ROUNDED: Final = 256
"""The engine makes the context of a stream a multiple of this."""
_REASON: Final = re.compile(r"error loading model: (.+)")
_COMPLAINT: Final = re.compile(r"^\S+ E +(.+)$", re.MULTILINE)
_SET_TIMER_SLACK: Final = 29
_SLACK: Final = 500_000_000
"""Nanoseconds."""
_MOST_LOG: Final = 1 << 16


class LlamaCppModel(TextModel):
    """A loaded model. `generate` may be called from as many threads as it has slots.

    `template` replaces the chat template of the file; with `chats` false there is none in it.
    """

    def __init__(self, path: Path, plan: Plan, *, template: str, chats: bool) -> None:
        before = resident_bytes()
        context = -(-plan.context // _ROUNDED) * _ROUNDED
        self._server: Any = _open(_parameters(path, context, plan, template))
        self._slots = Slots(plan.slots + plan.spare)
        self._chats = chats or bool(template)
        memory = max(0, resident_bytes() - before)
        super().__init__(
            context=context, concurrency=plan.slots, memory_bytes=memory, spare=plan.spare
        )

    def generate(self, asked: Generation, hear: Hear, stop: StopSignal | None = None) -> Finish:
        """Tell the pieces as they come.

        Raises:
            ContextOverflow: the prompt does not fit.
            Invalid: there is no template for messages, or it refuses them, or the engine what is
                asked for.
        """
        if asked.messages and not self._chats:
            raise Invalid(NO_TEMPLATE)
        if not asked.messages and not asked.prompt:
            raise Invalid("the prompt is empty")
        answer = _Answer(hear, stop, logprobs=asked.sampling.logprobs, held=bool(asked.schema))
        handle = self._server.handle_completions
        if asked.messages:
            handle = self._server.handle_chat_completions
        with self._slots.taken(asked) as (number, warm):
            handle(_request(asked, self.context, number, warm=warm), answer.hear)
        return answer.finish()

    def unload(self) -> None:
        """Stop the engine."""
        self._server = None


def _parameters(path: Path, context: int, plan: Plan, template: str) -> Any:
    import xllamacpp

    cores, slots = plan.threads or len(os.sched_getaffinity(0)), plan.slots + plan.spare
    told = xllamacpp.CommonParams()
    told.model.path = str(path)
    # Each stream has a part of the cache to itself: cheaper to look through than one for all.
    told.n_ctx, told.n_parallel, told.kv_unified = context * slots, slots, False
    told.cpuparams.n_threads = told.cpuparams_batch.n_threads = cores
    # What is not in a slot, whose tenant is known here, is not kept.
    told.cache_ram_mib, told.cache_idle_slots = 0, False
    told.ctx_shift = told.fit_params = False
    told.use_jinja, told.chat_template = True, template
    told.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    told.offline, told.ui, told.n_threads_http, told.verbosity = True, False, 1, 1
    told.api_keys = [secrets.token_hex(32)]
    return told


def _open(parameters: Any) -> Any:
    """The engine.

    Raises:
        CannotLoad: it does not take the file; with its own reason.
    """
    import xllamacpp

    # Short, wherever this process is: an address has no room for a long path.
    address = f"{secrets.token_hex(8)}.sock"
    with _errors() as told, _lazy_threads():
        parameters.hostnames = [address]
        try:
            return xllamacpp.Server(parameters)
        except RuntimeError as error:
            reasons = _REASON.findall(told()) or _COMPLAINT.findall(told())
            reason = reasons[-1] if reasons else str(error)
            raise CannotLoad(f"llama.cpp does not load it: {reason[:300]}") from None
        finally:
            Path(address).unlink(missing_ok=True)


@contextmanager
def _lazy_threads() -> Iterator[None]:
    """Threads that begin now do not wake up by the clock if that can wait for a while. In a sandbox
    nobody can call the engine's server, and it looks for callers a million times a second.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_SET_TIMER_SLACK, ctypes.c_ulong(_SLACK))
    try:
        yield
    finally:
        prctl(_SET_TIMER_SLACK, ctypes.c_ulong(0))


@contextmanager
def _errors() -> Iterator[Any]:
    """What the library writes to stderr meanwhile: it tells its reasons nowhere else."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)

        def told() -> str:
            return os.pread(file.fileno(), _MOST_LOG, 0).decode("utf-8", "replace")

        try:
            yield told
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.write(2, os.pread(file.fileno(), _MOST_LOG, 0))


def _request(asked: Generation, context: int, slot: int, *, warm: bool) -> bytes:
    """What the engine is told. All is told, since what it takes otherwise is not what we say."""
    sampling = asked.sampling
    told: dict[str, Any] = {
        "stream": True,
        "id_slot": slot,
        "cache_prompt": warm,
        "timings_per_token": True,
        "return_progress": True,
        "max_tokens": sampling.max_tokens or -1,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": context,
        "ignore_eos": sampling.ignore_eos,
    }
    if sampling.seed is not None:
        told["seed"] = sampling.seed
    if sampling.stop:
        told["stop"] = sampling.stop
    if asked.schema:
        told["grammar"] = _grammar(asked.schema)
    if asked.messages:
        told["messages"] = asked.messages
        if sampling.logprobs:
            told |= {"logprobs": True, "top_logprobs": max(1, sampling.top_logprobs)}
    else:
        told["prompt"] = asked.prompt
        if sampling.logprobs:
            told["logprobs"] = max(1, sampling.top_logprobs)
    return msgspec.json.encode(told)


def _grammar(schema: str) -> str:
    """A schema as the engine's grammar, written without the white space in which a weak model
    loses itself.
    """
    told = msgspec.json.decode(schema) | {"x-guidance": _COMPACT}
    return f"%llguidance {{}}\nstart: %json {msgspec.json.encode(told).decode()}"


class _Timings(msgspec.Struct):
    prompt_n: int = 0
    cache_n: int = 0
    predicted_n: int = 0


class _Told(msgspec.Struct):
    token: str
    logprob: float
    top_logprobs: list[_Told] = []


class _Logprobs(msgspec.Struct):
    content: list[_Told] | None = None


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    text: str | None = None
    delta: _Delta | None = None
    logprobs: _Logprobs | None = None


class _Progress(msgspec.Struct):
    total: int
    cache: int


class _Error(msgspec.Struct):
    message: str = ""
    type: str = ""
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class _Chunk(msgspec.Struct):
    """What comes of the engine, as far as it is used."""

    choices: list[_Choice] = []
    timings: _Timings | None = None
    prompt_progress: _Progress | None = None
    error: _Error | None = None


_decode: Final = msgspec.json.Decoder(_Chunk).decode
_JSON_BEGINS: Final = '{["-0123456789tfn'
"""The engine goes on unbound, and says so to nobody, when it cannot compile a schema."""
_FINISHES: Final = {"stop": Reason.STOP, "length": Reason.LENGTH}


class _Answer:
    """Hears one generation of the engine, on the thread that asked for it."""

    def __init__(self, hear: Hear, stop: StopSignal | None, *, logprobs: bool, held: bool) -> None:
        self._hear = hear
        self._stop = stop
        self._logprobs = logprobs
        self._begins = _JSON_BEGINS if held else ""
        self._prompt = self._cached = self._told = 0
        self._begun = False
        self._reason: Reason | None = None
        self._error: Exception | None = None

    def hear(self, chunk: str) -> bool:
        """One chunk; returns whether the engine is to stop. Nothing may be raised into it."""
        try:
            self._take(_decode(chunk))
        except Exception as error:  # noqa: BLE001 - raised where the answer is waited for
            self._error = error
        stopped = self._stop is not None and self._stop.is_set
        return stopped or self._error is not None

    def finish(self) -> Finish:
        """How it has ended."""
        if self._error is not None:
            raise self._error
        reason = self._reason
        if reason is None:
            if self._stop is None or not self._stop.is_set:
                raise EngineFailed("the engine broke off")
            reason = Reason.CANCELLED
        return Finish(reason, self._prompt, self._told, self._cached)

    def _take(self, chunk: _Chunk) -> None:
        if chunk.error is not None:
            self._error = _failure(chunk.error)
            return
        if chunk.prompt_progress is not None:
            self._prompt, self._cached = chunk.prompt_progress.total, chunk.prompt_progress.cache
        timings = chunk.timings
        if timings is not None and chunk.prompt_progress is None and timings.prompt_n:
            self._prompt, self._cached = timings.prompt_n + timings.cache_n, timings.cache_n
        for choice in chunk.choices:
            text = choice.text or (choice.delta.content if choice.delta is not None else None) or ""
            if choice.finish_reason is not None:
                self._reason = _FINISHES.get(choice.finish_reason, Reason.STOP)
            # Tokens without a text of their own go with the next that has one, or the end.
            if text or self._reason is not None:
                self._say(text, choice, timings)

    def _say(self, text: str, choice: _Choice, timings: _Timings | None) -> None:
        count = self._told if timings is None else timings.predicted_n
        tokens, self._told = count - self._told, count
        told = choice.logprobs.content if self._logprobs and choice.logprobs is not None else None
        logprobs = tuple(_logprob(each) for each in told or ())
        if self._begins and text.strip():
            if text.lstrip()[0] not in self._begins:
                raise Invalid("the engine cannot hold an answer to this schema")
            self._begins = ""
        if not self._begun:
            self._begun = True
            self._hear(Piece(text, tokens, logprobs, prompt=self._prompt, cached=self._cached))
        elif text or tokens:
            self._hear(Piece(text, tokens, logprobs))


def _logprob(told: _Told) -> TokenLogprob:
    top = tuple(Candidate(each.token, each.logprob) for each in told.top_logprobs)
    return TokenLogprob(told.token, told.logprob, top)


def _failure(error: _Error) -> ModelyardError:
    if error.type == _OVERFLOW:
        return ContextOverflow(
            f"the prompt has {error.n_prompt_tokens} tokens, and the model's context is "
            f"{error.n_ctx}"
        )
    if error.type == _BAD_REQUEST:
        return Invalid(f"the engine refuses this: {error.message[:300]}")
    return EngineFailed(f"the engine failed: {error.message[:300]}")
