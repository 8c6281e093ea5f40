"""LightGBM models: the text that `save_model` writes.

They are data, but a damaged one ends the process (`std::terminate`): a process of its own, always.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np

from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.runtimes.answers import (
    PREDICTION,
    as_specified,
    classified,
    output_specs,
)
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.estimator import FEATURES
from modelyard.serving.runtimes.function import FunctionModel, describe, uninterrupted
from modelyard.serving.runtimes.measuring import resident_bytes

_CATEGORIES: Final = "pandas_categorical:"


def load(folder: Path, manifest: RuntimeManifest) -> FunctionModel:
    """Load a booster. Raises CannotLoad when LightGBM does not take the file."""
    before = resident_bytes()
    text = read_text(manifest.path(folder))
    model = BoosterModel(text)
    signature = manifest.signature or model.signature()
    model.specify(signature)
    return FunctionModel(
        uninterrupted(model.answer),
        signature,
        native=model.booster,
        kind=f"lightgbm {objective_of(text)}".strip(),
        before=before,
    )


def read_text(path: Path) -> str:
    """The file's text. Raises CannotLoad."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise CannotLoad(f"a LightGBM model is text in UTF-8: {describe(error)}") from None


class BoosterModel:
    """A booster behind tensors. `specify` comes before `answer`."""

    def __init__(self, text: str) -> None:
        try:
            self.booster = lightgbm.Booster(model_str=text)
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise CannotLoad(f"LightGBM does not load it: {describe(error)}") from None
        self._codes = _category_codes(text, self.booster.feature_name())
        self._shape = _shape_of(text)
        self._inputs: tuple[TensorSpec, ...] = ()
        self._outputs: tuple[TensorSpec, ...] = ()

    def specify(self, signature: Signature) -> None:
        """Take and give the tensors of this signature."""
        self._inputs, self._outputs = signature.inputs, signature.outputs

    def answer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of the signature."""
        return as_specified(self._predict(self._matrix(inputs)), self._outputs)

    def signature(self) -> Signature:
        """A matrix of numbers; or a tensor for each column, where some hold categories by name."""
        names = tuple(self.booster.feature_name())
        inputs: tuple[TensorSpec, ...]
        if self._codes:
            inputs = tuple(
                TensorSpec(
                    name,
                    Datatype.BYTES if name in self._codes else Datatype.FP32,
                    (-1,),
                    nullable=True,
                )
                for name in names
            )
        else:
            columns = () if _unnamed(names) else names
            inputs = (
                TensorSpec(FEATURES, Datatype.FP32, (-1, len(names)), columns, nullable=True),
            )
        answer = self._predict(np.zeros((1, len(names))))
        count = answer.get("probabilities", np.zeros((1, 0))).shape[1]
        return Signature(inputs, output_specs(answer, inputs, [str(c) for c in range(count)]))

    def _predict(self, rows: Tensor) -> dict[str, Tensor]:
        return self._shape(np.asarray(self.booster.predict(rows, num_threads=1)))

    def _matrix(self, inputs: Mapping[str, Tensor]) -> Tensor:
        if len(self._inputs) == 1 and len(self._inputs[0].shape) == 2:
            return inputs[self._inputs[0].name].astype(np.float64)
        columns = []
        for spec in self._inputs:
            tensor = inputs[spec.name]
            if spec.datatype is Datatype.BYTES:
                codes = self._codes.get(spec.name, {})
                tensor = np.array([codes.get(one, np.nan) for one in tensor], np.float64)
            columns.append(tensor.astype(np.float64))
        return np.column_stack(columns)


def _shape_of(text: str) -> Callable[[Tensor], dict[str, Tensor]]:
    """How LightGBM's answer is given out, by the objective."""
    objective = objective_of(text).partition(" ")[0]
    if objective == "binary":
        return lambda positive: classified(np.arange(2), np.column_stack([1 - positive, positive]))
    if objective in ("multiclass", "multiclassova"):
        return lambda rows: classified(np.arange(rows.shape[1]), rows)
    return lambda rows: {PREDICTION: rows}


def objective_of(text: str) -> str:
    """The objective with its parameters, such as `binary sigmoid:1`; empty if there is none."""
    return header(text).get("objective", "")


def header(text: str) -> dict[str, str]:
    """The lines `name=value` before the first tree."""
    lines = text.partition("\nTree=")[0].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _category_codes(text: str, names: list[str]) -> dict[str, dict[str, int]]:
    """For each column of categories by name, which number each of them is.

    The names are in the file's last line, in the order of those columns; which columns they are
    is told by `feature_infos`, where a range is `[low:high]` and categories are `0:1:2`.
    """
    line = text.rpartition(_CATEGORIES)[2].partition("\n")[0].strip()
    try:
        named: Any = json.loads(line) if line else None
    except ValueError:
        named = None
    if not named:
        return {}
    infos = header(text).get("feature_infos", "").split(" ")
    places = [at for at, info in enumerate(infos) if info and not info.startswith(("[", "none"))]
    if len(places) != len(named):
        raise CannotLoad(
            f"the model names categories of {len(named)} columns and splits {len(places)} by "
            "category; train it without columns of a single category"
        )
    return {
        names[at]: {str(one): code for code, one in enumerate(categories)}
        for at, categories in zip(places, named, strict=True)
    }


def _unnamed(names: tuple[str, ...]) -> bool:
    """Whether these are the names that LightGBM gives columns without one."""
    return all(name == f"Column_{place}" for place, name in enumerate(names))
