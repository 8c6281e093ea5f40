"""Text classifiers, and regressors: an ONNX graph with its tokenizer, asked with texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.runtimes.bundle import Bundle, open_bundle
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.function import FunctionModel
from modelyard.serving.runtimes.labels import read_labels, told
from modelyard.serving.runtimes.measuring import resident_bytes
from modelyard.serving.runtimes.scores import PROBLEM, REGRESSION, output_of, scores_of
from modelyard.serving.runtimes.text_network import TextNetwork
from modelyard.serving.runtimes.tokenization import Text, Tokenization
from modelyard.serving.stopping import StopSignal

TEXT: Final = "text"
PAIR: Final = "text_pair"
LABEL: Final = "label"
SCORE: Final = "score"
PROBABILITIES: Final = "probabilities"
PREDICTION: Final = "prediction"

_KIND: Final = "a text classifier"
_TRIAL: Final = ("one", "a longer text to look at", "what is that?")


def load(folder: Path, manifest: RuntimeManifest) -> FunctionModel:
    """Open the graph, the tokenizer and the labels out of their archive.

    With `problem_type` `regression` it tells a number. A version that was registered takes its
    texts by the name that its signature gives them.

    Raises:
        CannotLoad: a part is missing, or they do not fit each other; the message says what to do.
    """
    before = resident_bytes()
    text = TEXT if manifest.signature is None else manifest.signature.inputs[0].name
    with open_bundle(folder, manifest) as bundle:
        regression = bundle.settings().get(PROBLEM) == REGRESSION
        network = _Regressor(bundle, text) if regression else _Classifier(bundle, text)
    return FunctionModel(
        network.answer,
        manifest.signature or network.signature(),
        native=None,
        kind=network.kind,
        before=before,
        notes=network.notes(),
    )


class _TextModel:
    """A network that gives numbers for texts, or for pairs of them, which come as `text`."""

    kind = "text classifier"

    def __init__(self, bundle: Bundle, text: str) -> None:
        self._text = text
        self._tokenization = Tokenization(bundle, cutting=True)
        network = bundle.network()
        self._network = TextNetwork(network, self._tokenization.padding, _KIND)
        self._output = output_of(network, _KIND)

    def notes(self) -> tuple[str, ...]:
        """What it looks at, in a sentence."""
        pairs = "Texts and pairs of texts" if self._tokenization.pairs else "Texts"
        return (f"{pairs} are cut off after {self._tokenization.length} tokens.",)

    def inputs(self) -> tuple[TensorSpec, ...]:
        """A second text for each is taken where the tokenizer keeps the two apart."""
        text = TensorSpec(self._text, Datatype.BYTES, (-1,))
        if not self._tokenization.pairs:
            return (text,)
        return text, TensorSpec(PAIR, Datatype.BYTES, (-1,), nullable=True, optional=True)

    def numbers(self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None) -> Tensor:
        """The network's numbers, [texts, numbers]; an empty second text counts as none.

        Raises:
            Invalid: the tokenizer or the graph fails on a text.
        """
        texts: list[Text] = inputs[self._text].tolist()
        if PAIR in inputs and self._text != PAIR:
            texts = list(map(_pair, inputs[self._text].tolist(), inputs[PAIR].tolist()))
        return self.read(texts, stop)

    def read(self, texts: Sequence[Text], stop: StopSignal | None = None) -> Tensor:
        """The network's numbers for each text, [texts, numbers]. Raises Invalid as `numbers`."""
        encoded = self._tokenization.encode(texts)
        for place, one in enumerate(encoded, start=1):
            if not len(one):
                raise Invalid(f"text {place} has no token that the model knows")
        read = list(self._network.read(encoded, self._output, stop))
        numbers: Tensor = np.empty((len(texts), read[0].output.shape[1]), read[0].output.dtype)
        for places, output, _ in read:
            numbers[places] = output
        return numbers


class _Classifier(_TextModel):
    """A label and the scores of all labels for each text."""

    def __init__(self, bundle: Bundle, text: str) -> None:
        super().__init__(bundle, text)
        trial = self.read(_TRIAL)
        self.labels = read_labels(bundle, _KIND, trial.shape[1])
        if len(set(self.labels)) < len(self.labels):
            raise CannotLoad(f"{_KIND}'s labels must differ from each other")
        self._names = np.array(self.labels, dtype=np.object_)
        self._scores = scores_of(bundle.settings(), trial)

    def notes(self) -> tuple[str, ...]:
        """The labels, and what it looks at."""
        return (told(self.labels), *super().notes())

    def signature(self) -> Signature:
        """What it takes and gives."""
        scores = TensorSpec(
            PROBABILITIES, Datatype.FP32, (-1, len(self.labels)), columns=self.labels
        )
        label = TensorSpec(LABEL, Datatype.BYTES, (-1,))
        return Signature(self.inputs(), (label, TensorSpec(SCORE, Datatype.FP32, (-1,)), scores))

    def answer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        """Classify each text. Raises Invalid."""
        scores = self._scores(self.numbers(inputs, stop))
        best = scores.argmax(axis=1)
        return {
            LABEL: self._names[best],
            SCORE: scores[np.arange(len(scores)), best],
            PROBABILITIES: scores,
        }


class _Regressor(_TextModel):
    """A number for each text."""

    kind = "text regressor"

    def __init__(self, bundle: Bundle, text: str) -> None:
        super().__init__(bundle, text)
        numbers = self.read(_TRIAL).shape[1]
        if numbers != 1:
            raise CannotLoad(
                f"{PROBLEM} is {REGRESSION}, which gives one number for a text, and this network "
                f"gives {numbers}"
            )

    def signature(self) -> Signature:
        """What it takes and gives."""
        return Signature(self.inputs(), (TensorSpec(PREDICTION, Datatype.FP32, (-1,)),))

    def answer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        """The number of each text. Raises Invalid."""
        return {PREDICTION: self.numbers(inputs, stop)[:, 0].astype(np.float32)}


def _pair(text: str, other: str) -> Text:
    return (text, other) if other else text
