"""A loaded model whose answer is a plain function of its inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tensors import Signature, Tensor
from modelyard.serving.runtimes.measuring import Example, measure, resident_bytes
from modelyard.serving.stopping import StopSignal

_PATH: Final = re.compile(r"(?:/[^\s'\",:;()]+)+/([^\s/'\",:;()]*)")
_RAISED: Final = re.compile(r"\s*Exception from .*:\d+:\s*$")

Answer = Callable[[Mapping[str, Tensor], StopSignal | None], dict[str, Tensor]]
"""From inputs to outputs; may end early when nobody waits for it any more."""


class FunctionModel:
    """A `LoadedModel`.

    `native` is the library's own object, for those that convert it; `kind` names what it is.
    `before` is what `resident_bytes` said before the model was loaded. `example` gives elements of
    binary inputs, to measure it with.
    """

    def __init__(
        self,
        answer: Answer,
        signature: Signature | None,
        *,
        native: Any,
        kind: str,
        before: int,
        notes: Sequence[str] = (),
        example: Example | None = None,
    ) -> None:
        self._answer: Answer | None = answer
        self.native = native
        self.signature = signature
        self.kind = kind
        self.notes = tuple(notes)
        self.call_seconds = 0.0
        self.row_seconds = 0.0
        self.stackable = False
        self.streams = False
        if signature is not None:
            measure(self, signature, example)
        self.memory_bytes = max(0, resident_bytes() - before)

    def infer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        """Ask the model.

        Raises:
            Invalid: it refuses these values; the message is the library's.
        """
        if self._answer is None:
            raise Invalid("the model is unloaded")
        try:
            return self._answer(inputs, stop)
        except (ModelyardError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever the library or the model's code raises
            raise Invalid(f"the model refused the input: {describe(error)}") from None

    def stream(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """The whole answer as one part."""
        yield self.infer(inputs, stop)

    def unload(self) -> None:
        """Let go of the model."""
        self._answer = None
        self.native = None


def uninterrupted(answer: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]) -> Answer:
    """The answer of a library that cannot be interrupted."""
    return lambda inputs, _: answer(inputs)


def describe(error: BaseException) -> str:
    """An exception of a library: its first line, of bounded length and without the host's paths.

    A line that only says where in C++ it was raised, as OpenVINO's do, is passed over.
    """
    lines = [line for line in str(error).splitlines() if line.strip() and not _RAISED.match(line)]
    line = lines[0] if lines else ""
    text = _PATH.sub(r"\1", " ".join(line.split()))[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
