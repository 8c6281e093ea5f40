"""Sentence embedders: an ONNX graph with its tokenizer, asked with texts."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.function import FunctionModel, describe
from modelyard.serving.runtimes.measuring import resident_bytes
from modelyard.serving.runtimes.onnx import open_session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

TEXT: Final = "text"
EMBEDDING: Final = "embedding"
TOKENS: Final = "tokens"
GRAPH_FILE: Final = "model.onnx"
TOKENIZER_FILE: Final = "tokenizer.json"
CONFIG_FILE: Final = "config.json"
POOLING_FILE: Final = "1_Pooling/config.json"
DEFAULT_LENGTH: Final = 512
"""Tokens of a text, where the model's configuration does not say how many positions it has."""
MAX_LENGTH: Final = 1 << 16
MAX_CONFIG: Final = 1 << 20
MAX_TOKENIZER: Final = 256 << 20
MAX_GRAPH: Final = 1 << 31
CELLS: Final = 16 * 256
"""Tokens of one call of the graph, with those that fill short texts up."""


def load(folder: Path, manifest: RuntimeManifest) -> FunctionModel:
    """Open the graph and the tokenizer out of their archive.

    Raises:
        CannotLoad: a part is missing, or nothing that embeds texts.
    """
    before = resident_bytes()
    try:
        with zipfile.ZipFile(manifest.path(folder)) as archive:
            embedder = _Embedder(
                _read_tokenizer(_member(archive, TOKENIZER_FILE, MAX_TOKENIZER)),
                open_session(_member(archive, GRAPH_FILE, MAX_GRAPH)),
                _read_config(archive, CONFIG_FILE),
                _read_config(archive, POOLING_FILE),
            )
    except (zipfile.BadZipFile, KeyError, OSError, EOFError) as error:
        raise CannotLoad(f"the archive cannot be read: {describe(error)}") from None
    return FunctionModel(
        embedder.answer, embedder.signature(), native=None, kind="sentence embedder", before=before
    )


class _Embedder:
    """Texts to vectors of length one: the mean over their tokens, or the first token's."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        session: InferenceSession,
        config: Mapping[str, Any],
        pooling: Mapping[str, Any],
    ) -> None:
        self._tokenizer = tokenizer
        self._session = session
        self._inputs = {each.name for each in session.get_inputs()}
        unknown = self._inputs - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown or "input_ids" not in self._inputs:
            raise CannotLoad(
                "a sentence embedder's graph takes input_ids, and perhaps attention_mask and "
                f"token_type_ids, but this one takes {', '.join(sorted(self._inputs))[:200]}"
            )
        positions = config.get("max_position_embeddings", DEFAULT_LENGTH)
        if not isinstance(positions, int) or not 1 <= positions <= MAX_LENGTH:
            raise CannotLoad(f"max_position_embeddings is {positions!r:.40}")
        self._length = positions
        self._first = bool(pooling.get("pooling_mode_cls_token"))
        first = session.get_outputs()[0]
        self._output = first.name
        self._pooled = len(first.shape) == 2

    def signature(self) -> Signature:
        """As the graph shows it in a trial."""
        width = self._run([self._tokenizer.encode("one")]).shape[1]
        return Signature(
            (TensorSpec(TEXT, Datatype.BYTES, (-1,)),),
            (
                TensorSpec(EMBEDDING, Datatype.FP32, (-1, width)),
                TensorSpec(TOKENS, Datatype.INT64, (-1,)),
            ),
        )

    def answer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Embed each text.

        Raises:
            Invalid: a text is longer than the model can look at.
        """
        encoded = self._tokenizer.encode_batch([str(text) for text in inputs[TEXT]])
        counts = np.array([len(one.ids) for one in encoded], dtype=np.int64)
        if len(counts) and counts.max() > self._length:
            place = int(counts.argmax())
            raise Invalid(
                f"text {place + 1} has {counts[place]} tokens; the model looks at {self._length}"
            )
        vectors: list[Tensor | None] = [None] * len(encoded)
        for places in _batches(counts):
            for place, vector in zip(
                places, self._run([encoded[at] for at in places]), strict=True
            ):
                vectors[place] = vector
        return {EMBEDDING: np.stack([v for v in vectors if v is not None]), TOKENS: counts}

    def _run(self, encoded: Sequence[Any]) -> Tensor:
        longest = max(len(one.ids) for one in encoded)
        ids = np.zeros((len(encoded), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, one in enumerate(encoded):
            ids[row, : len(one.ids)] = one.ids
            mask[row, : len(one.ids)] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        feed = {name: given[name] for name in self._inputs}
        vectors = np.asarray(self._session.run([self._output], feed)[0], dtype=np.float32)
        if not self._pooled:
            vectors = vectors[:, 0] if self._first else _mean(vectors, mask)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Tensor = vectors / np.maximum(norms, np.float32(1e-12))
        return unit


def _mean(vectors: Tensor, mask: Tensor) -> Tensor:
    weights = mask[:, :, None].astype(np.float32)
    total: Tensor = (vectors * weights).sum(axis=1) / weights.sum(axis=1)
    return total


def _batches(counts: Tensor) -> list[list[int]]:
    """The places of the texts by length, in batches that need little filling up."""
    batches: list[list[int]] = []
    # From the longest on: the first of a batch says how long all of them get.
    for place in np.argsort(-counts, kind="stable"):
        if batches and counts[batches[-1][0]] * (len(batches[-1]) + 1) <= CELLS:
            batches[-1].append(int(place))
        else:
            batches.append([int(place)])
    return batches


def _read_tokenizer(data: bytes) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # noqa: BLE001 - its errors share no base but Exception
        raise CannotLoad(f"{TOKENIZER_FILE} cannot be read: {describe(error)}") from None
    # Texts are filled up here, by length, and a text that is too long is an error.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _read_config(archive: zipfile.ZipFile, name: str) -> Mapping[str, Any]:
    if name not in archive.namelist():
        return {}
    try:
        config = json.loads(_member(archive, name, MAX_CONFIG))
    except ValueError as error:
        raise CannotLoad(f"{name} is not JSON: {describe(error)}") from None
    return config if isinstance(config, dict) else {}


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    try:
        size = archive.getinfo(name).file_size
    except KeyError:
        raise CannotLoad(f"'{name}' is missing") from None
    if size > most:
        raise CannotLoad(f"'{name}' has {size} bytes; at most {most} are read")
    with archive.open(name) as file:
        return file.read(most)
