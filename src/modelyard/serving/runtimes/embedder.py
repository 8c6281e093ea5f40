"""Sentence embedders: an ONNX graph with its tokenizer, asked with texts."""

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
from modelyard.serving.runtimes.labels import ID2LABEL, LABELS_FILE
from modelyard.serving.runtimes.measuring import resident_bytes
from modelyard.serving.runtimes.pooling import normalised, normalises, pooling_by, pooling_mode
from modelyard.serving.runtimes.text_network import TextNetwork
from modelyard.serving.runtimes.tokenization import Tokenization
from modelyard.serving.stopping import StopSignal

TEXT: Final = "text"
EMBEDDING: Final = "embedding"
TOKENS: Final = "tokens"

_KIND: Final = "a sentence embedder"
_POOLED: Final = "sentence_embedding"
"""What an exporter calls the vectors of whole texts, beside those of tokens."""
_LOGITS: Final = "logits"


def load(folder: Path, manifest: RuntimeManifest) -> FunctionModel:
    """Open the graph and the tokenizer out of their archive.

    Raises:
        CannotLoad: a part is missing, or nothing that embeds texts.
    """
    before = resident_bytes()
    with open_bundle(folder, manifest) as bundle:
        embedder = Embedder(bundle)
        signature = embedder.signature()
    width = signature.outputs[0].shape[-1]
    length = " of length one" if embedder.unit else ""
    return FunctionModel(
        embedder.answer,
        signature,
        native=None,
        kind="sentence embedder",
        before=before,
        notes=(f"Embeds texts as {width} numbers{length}.",),
    )


class Embedder:
    """Texts to vectors. With `cutting`, longer texts lose their ends; else they are refused.

    `output` is what the graph gives: vectors of tokens, which become one by the `pooling`, or
    without one those of texts. `unit`: they are of length one.
    """

    def __init__(self, bundle: Bundle, *, cutting: bool = False) -> None:
        self._tokenization = Tokenization(bundle, cutting=cutting)
        network = bundle.network()
        self._network = TextNetwork(network, self._tokenization.padding, _KIND)
        self.output, shape = next((name, each.shape) for name, each in network.outputs.items())
        if _POOLED in network.outputs and len(network.outputs[_POOLED].shape) == 2:
            self.output, shape = _POOLED, [0, 0]
        if len(shape) not in (2, 3):
            raise CannotLoad(
                f"{_KIND}'s graph gives vectors, [batch, tokens, width] or [batch, width], but "
                f"this one gives '{self.output[:80]}' of {len(shape)} dimensions"
            )
        if self.output == _LOGITS:
            raise CannotLoad(
                f"the graph gives '{_LOGITS}', so it is no {_KIND[2:]} but a text classifier, "
                f"which needs labels: add {LABELS_FILE} with a label a line, or {ID2LABEL} in "
                "config.json"
            )
        self.pooling = pooling_mode(bundle) if len(shape) == 3 else None
        self.unit = normalises(bundle)

    def signature(self) -> Signature:
        """As the graph shows it in a trial."""
        width = self.embed(["one"])[0].shape[1]
        return Signature(
            (TensorSpec(TEXT, Datatype.BYTES, (-1,)),),
            (
                TensorSpec(EMBEDDING, Datatype.FP32, (-1, width)),
                TensorSpec(TOKENS, Datatype.INT64, (-1,)),
            ),
        )

    def answer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        """Embed each text.

        Raises:
            Invalid: a text is longer than the model can look at, or has no token.
        """
        vectors, counts = self.embed(inputs[TEXT].tolist(), stop)
        return {EMBEDDING: vectors, TOKENS: counts}

    def embed(self, texts: Sequence[str], stop: StopSignal | None = None) -> tuple[Tensor, Tensor]:
        """The vectors of the texts, FP32 [texts, width], and how many tokens each has.

        Raises:
            Invalid: as `answer` does.
        """
        encoded = self._tokenization.encode(texts)
        counts = np.array([len(one) for one in encoded], dtype=np.int64)
        self._check(counts)
        vectors: Tensor = np.empty(0)
        pooling = None if self.pooling is None else pooling_by(self.pooling)
        for places, output, mask in self._network.read(encoded, self.output, stop):
            found = output.astype(np.float32, copy=False)
            if pooling is not None:
                found = pooling(found, mask)
            if not len(vectors):
                vectors = np.empty((len(texts), found.shape[1]), dtype=np.float32)
            vectors[places] = normalised(found) if self.unit else found
        return vectors, counts

    def _check(self, counts: Tensor) -> None:
        length = self._tokenization.length
        if counts.max() > length:
            place = int(counts.argmax())
            raise Invalid(
                f"text {place + 1} has {counts[place]} tokens; the model looks at {length}"
            )
        if not counts.min():
            raise Invalid(f"text {int(counts.argmin()) + 1} has no token that the model knows")
