"""The rows of a request as libraries for tables take them: a matrix, a frame, a list of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelyard.core.errors import NotInstalled
from modelyard.core.tensors import Datatype, Tensor, TensorSpec


def matrix(inputs: Mapping[str, Tensor], specs: Sequence[TensorSpec]) -> Tensor:
    """Numbers as one array [n, k]: a single input of two dimensions, or the columns side by side.

    Strings make it an array of objects.
    """
    if len(specs) == 1:
        tensor = inputs[specs[0].name]
        return tensor if tensor.ndim > 1 else tensor[:, None]
    return np.column_stack([inputs[spec.name] for spec in specs])


def frame(
    inputs: Mapping[str, Tensor],
    specs: Sequence[TensorSpec],
    columns: Sequence[str],
    precision: np.dtype[Any],
) -> Any:
    """A pandas frame with the columns of the signature, or else these; FP32 in the `precision`.

    An empty string in a nullable column is a missing value.

    Raises:
        NotInstalled: pandas is missing.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise NotInstalled(
            "a model of named columns needs pandas: pip install 'modelyard[sklearn]'"
        ) from None
    if len(specs) == 1 and len(specs[0].shape) == 2:
        names = list(specs[0].columns or columns)
        return pd.DataFrame(inputs[specs[0].name].astype(precision), columns=names)
    return pd.DataFrame({spec.name: _values(inputs[spec.name], spec, precision) for spec in specs})


def _values(tensor: Tensor, spec: TensorSpec, precision: np.dtype[Any]) -> Tensor:
    if spec.datatype is Datatype.BYTES:
        if not spec.nullable:
            return tensor
        return np.array([text if text else np.nan for text in tensor], np.object_)
    return tensor.astype(precision) if tensor.dtype == np.float32 else tensor
