"""OpenVINO GenAI: a language model from one GGUF file, with continuous batching.

One thread steps the pipeline while there is work, and tells each call its text: those that wait for
the ends of their calls are not woken for each token, for they would take the cores from the engine.
Of the pipeline itself other threads touch `add_request` alone, and what reads the tokeniser.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any, Final

from modelyard.core.errors import Invalid
from modelyard.serving.language.engines import Plan
from modelyard.serving.language.generation import (
    ContextOverflow,
    Finish,
    Generation,
    Hear,
    Piece,
    Reason,
    Sampling,
    TokenLogprob,
)
from modelyard.serving.language.model import NO_TEMPLATE, EngineFailed, TextModel
from modelyard.serving.language.pieces import TextPieces
from modelyard.serving.runtimes.contract import CannotLoad
from modelyard.serving.runtimes.function import describe
from modelyard.serving.runtimes.measuring import resident_bytes
from modelyard.serving.stopping import StopSignal

_log = logging.getLogger(__name__)

BATCH: Final = 256
"""Most tokens that one step computes, so that a long prompt does not stall the others' answers."""
_BLOCK: Final = 32
"""Tokens in a block of its cache, on processors."""
_CPP_ERRORS: Final = (RuntimeError, IndexError, ValueError, OverflowError, MemoryError)
"""What exceptions of its own become here."""
_WARMING: Final = "It begins with a few words."
_WARMING_TOKENS: Final = 2
_WORD_BEGIN: Final = "▁".encode()
"""How tokens of the SentencePiece kind write a space."""

Token = tuple[int, float]


class OpenVinoModel(TextModel):
    """A loaded pipeline. `generate` may be called from as many threads as the plan has slots.

    `template` replaces the chat template of the file; with `chats` false there is none in it.
    """

    def __init__(self, path: Path, plan: Plan, *, template: str, chats: bool) -> None:
        before = resident_bytes()
        self._pipeline = _open(path, plan)
        self._tokenizer = self._pipeline.get_tokenizer()
        self._chats = chats or bool(template)
        if template:
            self._tokenizer.set_chat_template(template)
        self._bytes = _token_bytes(self._tokenizer)
        _warm_up(self._pipeline, self._tokenizer)
        self._runs: dict[int, _Run] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._closed = False
        self._failure = ""
        memory = max(0, resident_bytes() - before)
        super().__init__(
            context=plan.context, concurrency=plan.slots, memory_bytes=memory, spare=plan.spare
        )
        self.steps = True
        threading.Thread(target=self._step_for_ever, name="openvino", daemon=True).start()

    def generate(self, asked: Generation, hear: Hear, stop: StopSignal | None = None) -> Finish:
        """Tell the pieces as they come.

        Raises:
            ContextOverflow: the prompt does not fit.
            Invalid: the template refuses the messages, or the engine what is asked for.
        """
        if asked.sampling.top_logprobs:
            raise Invalid(
                "this engine tells the log-probability of the chosen token alone; 'llamacpp' tells "
                "those of others, too"
            )
        if asked.messages and not self._chats:
            raise Invalid(NO_TEMPLATE)
        tokens = self._encode(asked)
        prompt = int(tokens.shape[1])
        room = self.context - prompt
        if room <= 0:
            raise ContextOverflow(
                f"the prompt has {prompt} tokens, and the model's context is {self.context}"
            )
        answer = _Answer(self._bytes, asked.sampling, prompt, hear)
        run = self._begin(tokens, self._config(asked, room), answer)
        if stop is not None:
            stop.on_set(run.leave)
        try:
            return run.finish()
        finally:
            run.leave()

    def unload(self) -> None:
        """Stop the thread; the pipeline goes with this object."""
        self._closed = True
        self._work.set()

    def _encode(self, asked: Generation) -> Any:
        try:
            if not asked.messages:
                return self._tokenizer.encode(asked.prompt).input_ids
            turns = [{"role": m.role.value, "content": m.content} for m in asked.messages]
            text = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True)
            return self._tokenizer.encode(text, add_special_tokens=False).input_ids
        except RuntimeError as error:
            raise Invalid(f"the model's template refuses the messages: {describe(error)}") from None

    def _config(self, asked: Generation, room: int) -> Any:
        sampling = asked.sampling
        config = self._pipeline.get_config()
        config.max_new_tokens = min(sampling.max_tokens or room, room)
        config.logprobs = int(sampling.logprobs)
        config.do_sample = sampling.temperature > 0
        if config.do_sample:
            config.temperature = sampling.temperature
            config.top_p = sampling.top_p
            if sampling.top_k:
                config.top_k = sampling.top_k
            config.min_p = sampling.min_p
            seed = sampling.seed
            config.rng_seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
        config.presence_penalty = sampling.presence_penalty
        config.frequency_penalty = sampling.frequency_penalty
        config.repetition_penalty = sampling.repetition_penalty
        config.ignore_eos = sampling.ignore_eos
        if asked.schema:
            import openvino_genai

            config.structured_output_config = openvino_genai.StructuredOutputConfig(
                json_schema=asked.schema
            )
        return config

    def _begin(self, tokens: Any, config: Any, answer: _Answer) -> _Run:
        with self._lock:
            if self._failure:
                raise EngineFailed(self._failure)
            number = next(self._numbers)
            try:
                handle = self._pipeline.add_request(number, tokens, config)
            except RuntimeError as error:
                raise Invalid(f"the engine refuses this: {describe(error)}") from None
            run = _Run(handle, answer, constrained=config.structured_output_config is not None)
            self._runs[number] = run
        self._work.set()
        return run

    # The thread's side

    def _step_for_ever(self) -> None:
        while not self._closed:
            if not self._pipeline.has_non_finished_requests():
                self._work.wait(1.0)
                self._work.clear()
                continue
            try:
                self._pipeline.step()
            except RuntimeError as error:
                self._drop_after(error)
            self._hand_out()
            self.after_step()

    def _hand_out(self) -> None:
        with self._lock:
            runs = list(self._runs.items())
        for number, run in runs:
            if run.hand_out():
                with self._lock:
                    del self._runs[number]

    def _drop_after(self, error: RuntimeError) -> None:
        """A step that fails names no culprit: it is among those whose grammar is new to it. If
        there are none, the engine is broken.
        """
        _log.error("a step of the engine failed", exc_info=error)
        reason = "the engine failed at it"
        with self._lock:
            suspects = [run for run in self._runs.values() if run.constrained and not run.begun]
            if not suspects:
                self._failure = reason
                suspects = list(self._runs.values())
        for run in suspects:
            run.refuse(reason, refused=not self._failure)
        if self._failure:
            # A new process has a new engine: the runtime host starts one.
            os._exit(1)


class _End:
    """The end of a run, or why it failed; `refused` if that was the request's fault."""

    def __init__(self, reason: Reason, error: str = "", *, refused: bool = False) -> None:
        self.reason = reason
        self.error = error
        self.refused = refused


class _Answer:
    """The text of one call: takes its tokens, and tells it as far as it may be shown."""

    def __init__(
        self, token_bytes: dict[int, bytes], sampling: Sampling, prompt: int, hear: Hear
    ) -> None:
        self._bytes = token_bytes
        self._pieces = TextPieces(sampling.stop)
        self._logprobs = sampling.logprobs
        self._prompt = prompt
        self._hear = hear
        self._told: list[TokenLogprob] = []
        self._completion = self._untold = 0
        self._begun = False

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come."""
        return self._pieces.stopped

    def add(self, tokens: list[Token]) -> None:
        """More tokens have come."""
        text = ""
        for number, logprob in tokens:
            raw = self._bytes.get(number, b"")
            text += self._pieces.add(raw)
            if self._logprobs and raw:
                self._told.append(TokenLogprob(raw.decode("utf-8", "replace"), logprob))
        self._completion += len(tokens)
        self._untold += len(tokens)
        if text:
            self._tell(text)

    def finish(self, reason: Reason) -> Finish:
        """Tell what was kept back, now that nothing follows."""
        rest = self._pieces.end()
        if rest or self._untold:
            self._tell(rest)
        return Finish(Reason.STOP if self.stopped else reason, self._prompt, self._completion)

    def _tell(self, text: str) -> None:
        prompt = 0 if self._begun else self._prompt
        self._begun = True
        self._hear(Piece(text, self._untold, tuple(self._told), prompt=prompt))
        self._told, self._untold = [], 0


class _Run:
    """One call in the pipeline. The stepping thread hands out its tokens; anybody may `leave`."""

    def __init__(self, handle: Any, answer: _Answer, *, constrained: bool) -> None:
        self._handle = handle
        self._answer = answer
        self._left = self._over = False
        self._end: queue.SimpleQueue[_End] = queue.SimpleQueue()
        self.constrained = constrained
        self.begun = False

    def finish(self) -> Finish:
        """Wait for the end.

        Raises:
            Invalid: the engine could not do it.
            EngineFailed: it is broken.
        """
        end = self._end.get()
        if end.error:
            raise Invalid(end.error) if end.refused else EngineFailed(end.error)
        return self._answer.finish(end.reason)

    def leave(self) -> None:
        """Have it end after the step that runs."""
        self._left = True

    def refuse(self, error: str, *, refused: bool) -> None:
        """End it as failed."""
        self._end_by(_End(Reason.STOP, error, refused=refused))

    def hand_out(self) -> bool:
        """Pass on what the last step gave; True once it has ended."""
        import openvino_genai

        if self._over:
            return True
        tokens: list[Token] = []
        finished = openvino_genai.GenerationFinishReason
        reason = finished.NONE
        while self._handle.can_read():
            for output in self._handle.read().values():
                tokens += zip(output.generated_ids, output.generated_log_probs, strict=True)
                reason = output.finish_reason
        if tokens:
            self.begun = True
            self._answer.add(tokens)
        if reason != finished.NONE:
            length = reason == finished.LENGTH
            self._end_by(_End(Reason.LENGTH if length else Reason.STOP), cancel=False)
        elif self._left or self._answer.stopped:
            self._end_by(_End(Reason.CANCELLED))
        return self._over

    def _end_by(self, end: _End, *, cancel: bool = True) -> None:
        if cancel:
            self._handle.cancel()
        self._over = True
        self._end.put(end)


def _open(path: Path, plan: Plan) -> Any:
    """The pipeline. It opens the file for writing, though it does not write, and what a replica is
    given it may only read: so it gets a copy, which goes once it is loaded.
    """
    if os.access(path, os.W_OK):
        return _load(path, plan)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        return _load(copy, plan)


def _load(path: Path, plan: Plan) -> Any:
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.max_num_seqs = plan.slots + plan.spare
    # It is one for all tenants, and its hits would show in the time that they take.
    scheduler.enable_prefix_caching = False
    if plan.cache_tokens:
        scheduler.num_kv_blocks = -(-plan.cache_tokens // _BLOCK)
    scheduler.max_num_batched_tokens = BATCH
    threads = plan.threads or len(os.sched_getaffinity(0))
    try:
        return openvino_genai.ContinuousBatchingPipeline(
            str(path), scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads}
        )
    except _CPP_ERRORS as error:
        raise CannotLoad(f"OpenVINO does not load it: {describe(error)}") from None


def _warm_up(pipeline: Any, tokenizer: Any) -> None:
    """Have it generate something: the first step makes ready what the others need, for a second."""
    config = pipeline.get_config()
    config.max_new_tokens = _WARMING_TOKENS
    config.ignore_eos = True
    try:
        pipeline.generate([tokenizer.encode(_WARMING).input_ids], [config])
    except _CPP_ERRORS as error:
        raise CannotLoad(f"OpenVINO loads it, and cannot run it: {describe(error)}") from None


def _token_bytes(tokenizer: Any) -> dict[int, bytes]:
    """What each token stands for; nothing where it is one that only the model sees."""
    vocabulary: dict[bytes, int] = tokenizer.get_vocab()
    pieces = any(token.startswith(_WORD_BEGIN) for token in vocabulary)
    shown = {
        number: token.replace(_WORD_BEGIN, b" ") if pieces else token
        for token, number in vocabulary.items()
    }
    if pieces:
        for value in range(256):
            number = vocabulary.get(b"<0x%02X>" % value)
            if number is not None:
                shown[number] = bytes([value])
    # Whole letters that the tokeniser itself shows nothing of are marks for the model.
    marks = [number for token, number in vocabulary.items() if token.startswith((b"<", b"["))]
    for number, text in zip(marks, tokenizer.decode([[one] for one in marks]), strict=True):
        if not text:
            shown[number] = b""
    return shown
