"""Image classifiers: an ONNX graph with its preprocessor and labels, asked with pictures' files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.runtimes.bundle import Network, open_bundle
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.function import FunctionModel
from modelyard.serving.runtimes.labels import read_labels, told
from modelyard.serving.runtimes.measuring import resident_bytes
from modelyard.serving.runtimes.picture_preparation import (
    PREPROCESSOR_FILE,
    Preparation,
    read_preparation,
)
from modelyard.serving.runtimes.scores import Scores, output_of, scores_of
from modelyard.serving.stopping import StopSignal

IMAGE: Final = "image"
LABEL: Final = "label"
SCORE: Final = "score"
LABELS: Final = "labels"
SCORES: Final = "scores"
BEST: Final = 5
"""How many labels are given for a picture, if there are as many."""

_KIND: Final = "an image classifier"
_TOGETHER: Final = 4 * 3 * 224 * 224
"""Numbers that go into one call of the graph, about: with more, it gets no faster."""
_DTYPES: Final = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


def load(folder: Path, manifest: RuntimeManifest) -> FunctionModel:
    """Open the graph, its preprocessor and its labels out of their archive.

    Raises:
        CannotLoad: a part is missing, or they do not fit each other; the message says what to do.
    """
    before = resident_bytes()
    with open_bundle(folder, manifest) as bundle:
        eye = _Eye(bundle.network())
        if PREPROCESSOR_FILE not in bundle:
            raise CannotLoad(
                f"{_KIND} needs {PREPROCESSOR_FILE}, which says how pictures are prepared"
            )
        told_by = bundle.settings(PREPROCESSOR_FILE)
        preparation = read_preparation(told_by, eye.channels or _channels(told_by))
        eye.check(preparation)
        trial = np.concatenate([eye.look([preparation.apply(example(at))]) for at in range(3)])
        labels = read_labels(bundle, _KIND, trial.shape[1])
        scores = scores_of(bundle.settings(), trial)
    classifier = _Classifier(eye, preparation, labels, scores)
    return FunctionModel(
        classifier.answer,
        classifier.signature(),
        native=None,
        kind="image classifier",
        before=before,
        notes=(told(labels), preparation.told()),
        example=example,
    )


class _Eye:
    """The network, shown pictures as numbers [height, width, channels].

    `channels` is None where it takes any number of them; `together` is how many pictures of the
    preparation's size it is shown at a time.
    """

    def __init__(self, network: Network) -> None:
        inputs = list(network.inputs.values())
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or inputs[0].type not in _DTYPES:
            found = "; ".join(f"'{each.name}' {each.type} {each.shape}" for each in inputs)
            raise CannotLoad(
                f"{_KIND}'s network takes one tensor of pictures, [batch, channels, height, width] "
                f"or [batch, height, width, channels] of floats, but this one takes {found[:300]}"
            )
        # A name stands for a size that is free.
        self._batch, *rest = (size if isinstance(size, int) else None for size in shape)
        if self._batch not in (None, 1):
            raise CannotLoad(
                f"the network takes {self._batch} pictures at a time, no more and no fewer: export "
                "it for a batch of any size, or of one"
            )
        self._first = rest[0] in (1, 3) or rest[2] not in (1, 3)
        self.channels, *self._size = rest if self._first else (rest[2], rest[0], rest[1])
        if self.channels not in (None, 1, 3):
            raise CannotLoad(f"the network takes pictures of {self.channels} channels, not 1 or 3")
        self._dtype = _DTYPES[inputs[0].type]
        self._network = network
        self._input = inputs[0].name
        self._output = output_of(network, _KIND)

    def check(self, preparation: Preparation) -> None:
        """Raises CannotLoad if the pictures would be of another size than the graph takes."""
        sizes = zip(self._size, preparation.crop, strict=True)
        if any(wanted not in (None, given) for wanted, given in sizes):
            raise CannotLoad(
                f"{PREPROCESSOR_FILE} makes pictures of {list(preparation.crop)} (height, width), "
                f"the network takes {self._size}"
            )

    def together(self, preparation: Preparation) -> int:
        """How many pictures go through the network at a time."""
        if self._batch == 1:
            return 1
        height, width = preparation.crop
        return max(1, _TOGETHER // (height * width * preparation.channels))

    def look(self, pictures: Sequence[Tensor], stop: StopSignal | None = None) -> Tensor:
        """The network's numbers for each picture, [pictures, classes]. Raises Invalid."""
        batch = np.stack(pictures)
        if self._first:
            batch = batch.transpose(0, 3, 1, 2)
        given = {self._input: np.ascontiguousarray(batch, dtype=self._dtype)}
        return self._network.run(self._output, given, stop)


class _Classifier:
    """Files of pictures in, the best labels out."""

    def __init__(
        self, eye: _Eye, preparation: Preparation, labels: Sequence[str], scores: Scores
    ) -> None:
        self._eye = eye
        self._preparation = preparation
        self._labels = np.array(labels, dtype=np.object_)
        self._scores = scores
        self._best = min(BEST, len(labels))
        self._together = eye.together(preparation)

    def signature(self) -> Signature:
        """The best label with its score, and the best few."""
        return Signature(
            (TensorSpec(IMAGE, Datatype.BYTES, (-1,), binary=True),),
            (
                TensorSpec(LABEL, Datatype.BYTES, (-1,)),
                TensorSpec(SCORE, Datatype.FP32, (-1,)),
                TensorSpec(LABELS, Datatype.BYTES, (-1, self._best)),
                TensorSpec(SCORES, Datatype.FP32, (-1, self._best)),
            ),
        )

    def answer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        """Classify each picture; few of them are in memory at a time.

        Raises:
            Invalid: one of them is no picture, or over the bounds; says which, and why.
        """
        files = inputs[IMAGE]
        parts = [
            self._eye.look(self._prepared(files, start, stop), stop)
            for start in range(0, len(files), self._together)
        ]
        scores = self._scores(np.concatenate(parts))
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self._best]
        best = np.take_along_axis(scores, order, axis=1)
        labels = self._labels[order]
        return {LABEL: labels[:, 0], SCORE: best[:, 0], LABELS: labels, SCORES: best}

    def _prepared(self, files: Tensor, start: int, stop: StopSignal | None) -> list[Tensor]:
        prepared = []
        for place, file in enumerate(files[start : start + self._together], start + 1):
            if stop is not None and stop.is_set:
                raise Invalid("nobody waits for the answer any more")
            try:
                prepared.append(self._preparation.apply(file))
            except Invalid as error:
                raise Invalid(f"image {place}: {error.message}") from None
        return prepared


def _channels(config: Mapping[str, Any]) -> int:
    """Of a network that takes any number: as many as there are means."""
    mean = config.get("image_mean")
    return 1 if isinstance(mean, list) and len(mean) == 1 else 3


def example(value: int) -> bytes:
    """A picture's file, of the size that people send; another for each number."""
    rows, columns = np.mgrid[0:480, 0:640]
    waves = np.sin(rows / (7 + value)) + np.cos(columns / (11 - value))
    pixels = np.stack([waves * (60 + 9 * at) + 128 for at in range(3)], axis=2)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()
