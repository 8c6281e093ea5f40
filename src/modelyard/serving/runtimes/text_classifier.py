"""Text classifiers: an ONNX graph with its tokenizer and labels, asked with texts."""

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
from modelyard.serving.runtimes.scores import output_of, scores_of
from modelyard.serving.runtimes.text_network import TextNetwork
from modelyard.serving.runtimes.tokenization import Text, Tokenization
from modelyard.serving.stopping import StopSignal

TEXT: Final = "text"
PAIR: Final = "text_pair"
LABEL: Final = "label"
SCORE: Final = "score"
PROBABILITIES: Final = "probabilities"

_KIND: Final = "a text classifier"
_TRIAL: Final = ("one", "a longer text to look at", "what is that?")


def load(folder: Path, manifest: RuntimeManifest) -> FunctionModel:
    """Open the graph, the tokenizer and the labels out of their archive.

    Raises:
        CannotLoad: a part is missing, or they do not fit each other; the message says what to do.
    """
    before = resident_bytes()
    with open_bundle(folder, manifest) as bundle:
        classifier = _Classifier(bundle)
    return FunctionModel(
        classifier.answer,
        classifier.signature(),
        native=None,
        kind="text classifier",
        before=before,
        notes=(told(classifier.labels), classifier.told()),
    )


class _Classifier:
    """Texts, or pairs of them, in; a label and the scores of all labels out."""

    def __init__(self, bundle: Bundle) -> None:
        self._tokenization = Tokenization(bundle, cutting=True)
        network = bundle.network()
        self._network = TextNetwork(network, self._tokenization.padding, _KIND)
        self._output = output_of(network, _KIND)
        trial = self._read(_TRIAL)
        self.labels = read_labels(bundle, _KIND, trial.shape[1])
        if len(set(self.labels)) < len(self.labels):
            raise CannotLoad(f"{_KIND}'s labels must differ from each other")
        self._names = np.array(self.labels, dtype=np.object_)
        self._scores = scores_of(bundle.settings(), trial)

    def told(self) -> str:
        """What it looks at, in a sentence."""
        pairs = "Texts and pairs of texts" if self._tokenization.pairs else "Texts"
        return f"{pairs} are cut off after {self._tokenization.length} tokens."

    def signature(self) -> Signature:
        """A second text for each is taken where the tokenizer keeps the two apart."""
        inputs = [TensorSpec(TEXT, Datatype.BYTES, (-1,))]
        if self._tokenization.pairs:
            inputs.append(TensorSpec(PAIR, Datatype.BYTES, (-1,), nullable=True, optional=True))
        return Signature(
            tuple(inputs),
            (
                TensorSpec(LABEL, Datatype.BYTES, (-1,)),
                TensorSpec(SCORE, Datatype.FP32, (-1,)),
                TensorSpec(
                    PROBABILITIES, Datatype.FP32, (-1, len(self.labels)), columns=self.labels
                ),
            ),
        )

    def answer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        """Classify each text; one with an empty second text counts as alone.

        Raises:
            Invalid: the tokenizer or the graph fails on a text.
        """
        texts: list[Text] = inputs[TEXT].tolist()
        if PAIR in inputs:
            texts = list(map(_pair, inputs[TEXT].tolist(), inputs[PAIR].tolist()))
        scores = self._scores(self._read(texts, stop))
        best = scores.argmax(axis=1)
        return {
            LABEL: self._names[best],
            SCORE: scores[np.arange(len(scores)), best],
            PROBABILITIES: scores,
        }

    def _read(self, texts: Sequence[Text], stop: StopSignal | None = None) -> Tensor:
        """The network's numbers for each text, [texts, classes]."""
        encoded = self._tokenization.encode(texts)
        for place, one in enumerate(encoded, start=1):
            if not len(one):
                raise Invalid(f"text {place} has no token that the model knows")
        read = list(self._network.read(encoded, self._output, stop))
        numbers: Tensor = np.empty((len(texts), read[0].output.shape[1]), read[0].output.dtype)
        for places, output, _ in read:
            numbers[places] = output
        return numbers


def _pair(text: str, other: str) -> Text:
    return (text, other) if other else text
