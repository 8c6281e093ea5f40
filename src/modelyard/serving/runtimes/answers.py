"""What models of tables give, in the forms of ADR 0007.

A classifier gives `label` and, if it has them, `probabilities`; everything else a `prediction`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from modelyard.core.errors import Invalid
from modelyard.core.tensors import NUMPY, Datatype, Tensor, TensorSpec

LABEL: Final = "label"
PROBABILITIES: Final = "probabilities"
PREDICTION: Final = "prediction"
TRANSFORMED: Final = "transformed"
"""Of what only transforms: a projection, a scaler."""
_TAKEN: Final = "predicted_"


def output_specs(
    answer: Mapping[str, Tensor], inputs: Sequence[TensorSpec], classes: Sequence[str] = ()
) -> tuple[TensorSpec, ...]:
    """Describe an answer to some rows. No output has the name of an input: no graph could."""
    return tuple(
        TensorSpec(
            _free(name, inputs),
            _datatype(tensor),
            (-1, *tensor.shape[1:]),
            tuple(classes) if name == PROBABILITIES else (),
        )
        for name, tensor in answer.items()
    )


def as_specified(answer: Mapping[str, Tensor], outputs: Sequence[TensorSpec]) -> dict[str, Tensor]:
    """The answer under the names and in the types of the signature: by name, else by place.

    Raises:
        Invalid: the signature wants an output that the model does not give.
    """
    return {
        spec.name: _cast(answer[own_name(spec.name, place, answer)], spec)
        for place, spec in enumerate(outputs)
    }


def own_name(name: str, place: int, answers: Mapping[str, object]) -> str:
    """What the model itself calls the signature's output. Raises Invalid if it gives none."""
    own = name
    while own not in answers and own.startswith(_TAKEN):
        own = own.removeprefix(_TAKEN)
    if own in answers:
        return own
    if place >= len(answers):
        raise Invalid(f"the model gives no output '{name[:80]}'; it gives {list(answers)}")
    return list(answers)[place]


def classified(classes: Tensor, probabilities: Tensor) -> dict[str, Tensor]:
    """The answer of a classifier that picks the likeliest class. `probabilities` are [n, k]."""
    return {LABEL: classes[probabilities.argmax(axis=1)], PROBABILITIES: probabilities}


def _free(name: str, inputs: Sequence[TensorSpec]) -> str:
    while any(spec.name == name for spec in inputs):
        name = _TAKEN + name
    return name


def _datatype(tensor: Tensor) -> Datatype:
    """Classes as they are, numbers as FP32."""
    kind = tensor.dtype.kind
    if kind == "b":
        return Datatype.BOOL
    if kind in "iu":
        return Datatype.INT64
    return Datatype.FP32 if kind == "f" else Datatype.BYTES


def _cast(tensor: Any, spec: TensorSpec) -> Tensor:
    array = np.asarray(tensor)
    if spec.datatype is Datatype.BYTES:
        if array.dtype.kind != "O" or not all(type(one) is str for one in array.flat):
            array = np.array([str(one) for one in array.flat], np.object_).reshape(array.shape)
    elif array.dtype != NUMPY[spec.datatype]:
        array = array.astype(NUMPY[spec.datatype])
    if len(spec.shape) == 2 and array.ndim == 1:
        array = array[:, None]
    elif len(spec.shape) == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return np.ascontiguousarray(array)
