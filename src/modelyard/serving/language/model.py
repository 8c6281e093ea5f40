"""What all engines have in common as loaded models: a text is a tensor, too."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.language.generation import (
    Event,
    Finish,
    Generation,
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

    @abstractmethod
    def generate(self, asked: Generation, stop: StopSignal | None = None) -> Iterator[Event]:
        """See `LanguageModel`."""

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
        for event in self.generate(question(inputs[PROMPT][0]), stop):
            if isinstance(event, Piece) and event.text:
                yield {TEXT: np.array([event.text], dtype=np.object_)}

    def _answer(self, prompt: str, stop: StopSignal | None) -> str:
        events = self.generate(question(prompt), stop)
        return "".join(event.text for event in events if not isinstance(event, Finish))


def question(prompt: str) -> Generation:
    """A prompt that comes as a tensor: the likeliest answer to it is wanted."""
    sampling = Sampling(max_tokens=ANSWER_TOKENS, temperature=0.0)
    return Generation(messages=(Message(Role.USER, str(prompt)),), sampling=sampling)
