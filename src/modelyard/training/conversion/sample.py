"""Sample rows: a few inputs of a model, from its publisher or made up.

Read are the shapes that publishers have at hand: a list of records or of rows, KServe's
`instances`, the `inputs` of the Open Inference Protocol, and MLflow's input examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid, TooLarge
from modelyard.core.tensors import NUMPY, Datatype, Signature, Tensor, TensorSpec, datatype_of
from modelyard.serving.runtimes.estimator import FEATURES

MAX_BYTES: Final = 16 << 20
MAX_ROWS: Final = 1000
SYNTHETIC_ROWS: Final = 64
GAP_ROWS: Final = 32
"""How many rows are asked again with values missing."""
_UNNAMED: Final = ""
_WORDS: Final = ("", "yes", "some words", "never seen 4711 ünknown")


class Sample:
    """Inputs by name; a matrix without one has the empty name."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = {name: tensor[:MAX_ROWS] for name, tensor in tensors.items()}

    @classmethod
    def read(cls, path: Path) -> Sample:
        """Read a JSON file.

        Raises:
            TooLarge: more than 16 MiB.
            Invalid: none of the shapes that are read; the message says which are.
        """
        if path.stat().st_size > MAX_BYTES:
            raise TooLarge(f"the sample has more than {MAX_BYTES >> 20} MiB; some rows are enough")
        try:
            content = msgspec.json.decode(path.read_bytes())
        except msgspec.DecodeError as error:
            raise Invalid(f"the sample is not JSON: {error}") from None
        return cls.parse(content)

    @classmethod
    def parse(cls, content: Any) -> Sample:
        """Understand decoded JSON. Raises Invalid."""
        try:
            tensors = _tensors(content)
        except (KeyError, TypeError, ValueError):
            tensors = {}
        if not tensors or any(tensor.ndim == 0 or not tensor.size for tensor in tensors.values()):
            raise Invalid(
                'the sample must be a list of records such as [{"age": 41}], a list of rows such '
                "as [[1.5, 2]], or the 'instances' or 'inputs' of a request"
            )
        return cls(tensors)

    def inputs(self) -> tuple[TensorSpec, ...]:
        """What a model takes that takes these: the forms of ADR 0007, or the tensors as named."""
        if _UNNAMED in self._tensors:
            tensor = self._tensors[_UNNAMED]
            return (_spec(FEATURES if tensor.ndim <= 2 else "input", tensor),)
        columns = tuple(self._tensors)
        flat = all(t.ndim == 1 and t.dtype.kind == "f" for t in self._tensors.values())
        if flat and len(columns) > 1:
            return (TensorSpec(FEATURES, Datatype.FP32, (-1, len(columns)), columns),)
        return tuple(_spec(name, tensor) for name, tensor in self._tensors.items())

    def fit(self, inputs: Sequence[TensorSpec]) -> dict[str, Tensor]:
        """The sample as the tensors of a signature.

        Raises:
            Invalid: it has other inputs than the model; the message names one.
        """
        fitted = {spec.name: self._find(spec, place, inputs) for place, spec in enumerate(inputs)}
        Signature(tuple(inputs), ()).check(fitted)
        return fitted

    def _find(self, spec: TensorSpec, place: int, inputs: Sequence[TensorSpec]) -> Tensor:
        tensor = self._tensors.get(spec.name)
        if tensor is None and len(inputs) == 1:
            if spec.columns and all(name in self._tensors for name in spec.columns):
                tensor = np.column_stack([self._tensors[name] for name in spec.columns])
            elif len(self._tensors) == 1:
                tensor = next(iter(self._tensors.values()))
        elif tensor is None and _UNNAMED in self._tensors:
            whole = self._tensors[_UNNAMED]
            if whole.ndim == 2 and whole.shape[1] == len(inputs):
                tensor = whole[:, place]
        if tensor is None:
            raise Invalid(f"the sample has no input '{spec.name[:80]}', which the model takes")
        return _cast(tensor, spec)


def with_gaps(inputs: Sequence[TensorSpec], rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The rows, and some of them again with values missing, wherever the model takes that.

    A form that knows no gaps would go unnoticed on rows that have none.
    """
    shared = all(spec.shape[:1] == (-1,) for spec in inputs)
    if not shared or not any(spec.nullable for spec in inputs):
        return dict(rows)
    count = min(GAP_ROWS, *(len(rows[spec.name]) for spec in inputs))
    generator = np.random.default_rng(1)
    joined = {}
    for spec in inputs:
        again = np.array(rows[spec.name][:count])
        if spec.nullable:
            gaps = generator.random(again.shape) < 0.5
            gaps[0] = True
            again[gaps] = "" if spec.datatype is Datatype.BYTES else np.nan
        joined[spec.name] = np.concatenate([rows[spec.name], again])
    return joined


def synthesize(inputs: Sequence[TensorSpec], rows: int = SYNTHETIC_ROWS) -> dict[str, Tensor]:
    """Made-up rows: numbers of several sizes and signs, and words."""
    generator = np.random.default_rng(0)
    scale = np.geomspace(0.01, 1000, rows)
    made = {}
    for spec in inputs:
        shape = tuple(rows if n == -1 and at == 0 else max(n, 1) for at, n in enumerate(spec.shape))
        if spec.datatype is Datatype.BYTES:
            made[spec.name] = generator.choice(np.array(_WORDS, np.object_), shape)
        elif spec.datatype is Datatype.BOOL:
            made[spec.name] = generator.integers(0, 2, shape).astype(np.bool_)
        elif NUMPY[spec.datatype].kind in "iu":
            made[spec.name] = generator.integers(0, 2, shape).astype(NUMPY[spec.datatype])
        else:
            values = generator.standard_normal(shape)
            if spec.shape[:1] == (-1,):
                values *= scale.reshape(-1, *(1 for _ in shape[1:]))
            made[spec.name] = values.astype(NUMPY[spec.datatype])
    return made


def _tensors(content: Any) -> dict[str, Tensor]:
    if isinstance(content, dict):
        if "instances" in content:
            return _tensors(content["instances"])
        if "columns" in content and "data" in content:
            return _by_column(
                [dict(zip(content["columns"], r, strict=True)) for r in content["data"]]
            )
        if "inputs" in content:
            return _named(content["inputs"])
        if "dataframe_split" in content:
            return _tensors(content["dataframe_split"])
        return {name: _array(values) for name, values in content.items()}
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return _by_column(content)
    return {_UNNAMED: _array(content)}


def _named(inputs: Any) -> dict[str, Tensor]:
    if isinstance(inputs, dict):
        return {name: _array(values) for name, values in inputs.items()}
    if inputs and isinstance(inputs[0], dict) and "datatype" in inputs[0]:
        return {
            one["name"]: np.array(one["data"], NUMPY[Datatype(one["datatype"])]).reshape(
                one["shape"]
            )
            for one in inputs
        }
    return {_UNNAMED: _array(inputs)}


def _by_column(records: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    return {name: _array([record.get(name) for record in records]) for name in records[0]}


def _array(values: Any) -> Tensor:
    """Numbers as FP32, strings as objects; what is missing is NaN or the empty string."""
    objects = np.array(values, np.object_)
    known = [one for one in objects.ravel() if one is not None]
    if any(isinstance(one, str) for one in known):
        strings = ["" if one is None else str(one) for one in objects.ravel()]
        return np.array(strings, np.object_).reshape(objects.shape)
    return objects.astype(np.float32)


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    return TensorSpec(name, datatype_of(tensor), (-1, *tensor.shape[1:]))


def _cast(tensor: Tensor, spec: TensorSpec) -> Tensor:
    if spec.datatype is Datatype.BYTES:
        return np.array([str(one) for one in tensor.ravel()], np.object_).reshape(tensor.shape)
    try:
        return tensor.astype(NUMPY[spec.datatype])
    except (TypeError, ValueError):
        raise Invalid(
            f"the sample's input '{spec.name[:80]}' holds words where numbers belong"
        ) from None
