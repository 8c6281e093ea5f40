"""What all engines have in common as loaded models: a text is a tensor, too."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue
from typing import Final

import numpy as np

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.language.generation import (
    Finish,
    Generation,
    Hear,
    Message,
    Piece,
    Role,
    Sampling,
)
from modelyard.serving.stopping import StopSignal

PROMPT: Final = "prompt"
TEXT: Final = "text"
SIGNATURE: Final = Signature(
    (TensorSpec(PROMPT, Datatype.BYTES, (-1,)),), (TensorSpec(TEXT, Datatype.BYTES, (-1,)),)
)
"""What a language model takes and gives where it is asked as any other model."""
NO_TEMPLATE: Final = (
    "this model has no chat template: send a text to be completed, or have the deployment's owner "
    "give it one (option 'chat_template')"
)
ANSWER_TOKENS: Final = 256
"""Longest answer to a prompt that comes as a tensor."""


class EngineFailed(ModelyardError):
    """The engine has failed in the middle of its work."""

    code = "engine_failed"


class TextModel:
    """A `LanguageModel`, of which an engine brings `generate` and `unload`.

    Its calls are never cheap and never stacked: the engine makes its batches itself.
    """

    def __init__(
        self, *, context: int, concurrency: int, memory_bytes: int, spare: int = 0
    ) -> None:
        self.signature: Signature | None = SIGNATURE
        self.kind = "language model"
        self.notes: tuple[str, ...] = ()
        self.call_seconds = 1.0
        self.row_seconds = 1.0
        self.stackable = False
        self.streams = True
        self.memory_bytes = memory_bytes
        self.context = context
        self.concurrency = concurrency
        self.spare = spare
        self.steps = False
        self.after_step: Callable[[], None] = _nothing

    @abstractmethod
    def generate(self, asked: Generation, hear: Hear, stop: StopSignal | None = None) -> Finish:
        """See `LanguageModel`."""

    @abstractmethod
    def unload(self) -> None:
        """Let go of everything."""

    def infer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        """The likeliest answer to each prompt.

        Raises:
            Invalid: a prompt does not fit.
        """
        texts = [self._answer(prompt, stop) for prompt in inputs[PROMPT]]
        return {TEXT: np.array(texts, dtype=np.object_)}

    def stream(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """The answer to one prompt, piece by piece.

        Raises:
            Invalid: more than one prompt.
        """
        if len(inputs[PROMPT]) != 1:
            raise Invalid(f"{len(inputs[PROMPT])} prompts cannot be streamed: send one")
        asked = question(inputs[PROMPT][0])
        heard: SimpleQueue[Piece | Finish | Exception] = SimpleQueue()

        def run() -> None:
            try:
                heard.put(self.generate(asked, heard.put, stop))
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                heard.put(error)

        threading.Thread(target=run, name="stream", daemon=True).start()
        while not isinstance(event := heard.get(), Finish):
            if isinstance(event, Exception):
                raise event
            if event.text:
                yield {TEXT: np.array([event.text], dtype=np.object_)}

    def _answer(self, prompt: str, stop: StopSignal | None) -> str:
        texts: list[str] = []
        self.generate(question(prompt), lambda piece: texts.append(piece.text), stop)
        return "".join(texts)


def _nothing() -> None:
    """Nobody keeps anything."""


def question(prompt: str) -> Generation:
    """A prompt that comes as a tensor: the likeliest answer to it is wanted."""
    sampling = Sampling(max_tokens=ANSWER_TOKENS, temperature=0.0)
    return Generation(messages=(Message(Role.USER, str(prompt)),), sampling=sampling)
