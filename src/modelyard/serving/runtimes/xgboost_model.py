"""XGBoost models as `save_model` writes them, JSON or UBJSON.

They are data, but crafted ones crash the parser: a process of its own, always.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgboost

from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.runtimes.answers import (
    LABEL,
    PREDICTION,
    PROBABILITIES,
    as_specified,
    classified,
    output_specs,
)
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.estimator import FEATURES
from modelyard.serving.runtimes.function import FunctionModel, describe, uninterrupted
from modelyard.serving.runtimes.measuring import resident_bytes
from modelyard.serving.runtimes.tables import matrix

_WRAPPER: Final = "scikit_learn"
"""The attribute by which XGBoost marks a model that was saved by XGBClassifier and its like."""


def load(folder: Path, manifest: RuntimeManifest) -> FunctionModel:
    """Load a booster. Raises CannotLoad when XGBoost does not take the file."""
    before = resident_bytes()
    booster = read_booster(manifest.path(folder))
    signature = manifest.signature or signature_of(booster)
    return FunctionModel(
        uninterrupted(BoosterAnswer(booster, signature)),
        signature,
        native=booster,
        kind=f"xgboost {objective_of(booster)}",
        before=before,
    )


def read_booster(path: Path) -> xgboost.Booster:
    """The booster, on one thread. Raises CannotLoad."""
    # The parser chooses by the name's ending; bytes let it look at the content.
    data = bytearray(path.read_bytes())
    if not data.startswith(b"{"):
        raise CannotLoad("a model of XGBoost is a JSON or UBJSON object, which this is not")
    try:
        return xgboost.Booster({"nthread": 1}, model_file=data)
    except (xgboost.core.XGBoostError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise CannotLoad(f"XGBoost does not load it: {describe(error)}") from None


def signature_of(booster: xgboost.Booster) -> Signature:
    """One matrix of numbers; the outputs follow from the objective. NaN is a missing value."""
    count = booster.num_features()
    columns = tuple(booster.feature_names or ())
    inputs = (TensorSpec(FEATURES, Datatype.FP32, (-1, count), columns, nullable=True),)
    answer = _shape_of(booster)(np.zeros((1, count), np.float32))
    classes = [str(one) for one in range(answer.get(PROBABILITIES, np.zeros((1, 0))).shape[1])]
    return Signature(inputs, output_specs(answer, inputs, classes))


class BoosterAnswer:
    """What the booster answers, in the tensors of the signature."""

    def __init__(self, booster: xgboost.Booster, signature: Signature) -> None:
        self._predict = _shape_of(booster)
        self._signature = signature

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        rows = matrix(inputs, self._signature.inputs)
        return as_specified(self._predict(rows), self._signature.outputs)


def objective_of(booster: xgboost.Booster) -> str:
    """The name of the objective that the model was trained for."""
    return str(_learner(booster)["objective"]["name"])


def _learner(booster: xgboost.Booster) -> dict[str, Any]:
    learner: dict[str, Any] = json.loads(booster.save_config())["learner"]
    return learner


def last_round(booster: xgboost.Booster) -> int:
    """Up to which round trees count; 0 is all.

    After early stopping XGBClassifier and its like use the best rounds only, a plain booster all.
    """
    best = booster.attr("best_iteration")
    return int(best) + 1 if best is not None and booster.attr(_WRAPPER) is not None else 0


def _shape_of(booster: xgboost.Booster) -> Callable[[Tensor], dict[str, Tensor]]:
    """How rows are answered, by the objective."""
    objective, rounds = objective_of(booster), (0, last_round(booster))
    # Linear boosters know no prediction in place.
    linear = _learner(booster)["gradient_booster"]["name"] == "gblinear"

    def raw(rows: Tensor) -> Tensor:
        if linear:
            return np.asarray(booster.predict(xgboost.DMatrix(rows), validate_features=False))
        return np.asarray(
            booster.inplace_predict(rows, iteration_range=rounds, validate_features=False)
        )

    def binary(rows: Tensor) -> dict[str, Tensor]:
        positive = raw(rows)
        # At exactly one half XGBClassifier answers 0, and argmax does too.
        return classified(np.arange(2), np.column_stack([1 - positive, positive]))

    def several(rows: Tensor) -> dict[str, Tensor]:
        probabilities = raw(rows)
        return classified(np.arange(probabilities.shape[1]), probabilities)

    def label(rows: Tensor) -> dict[str, Tensor]:
        return {LABEL: raw(rows).astype(np.int64)}

    def number(rows: Tensor) -> dict[str, Tensor]:
        return {PREDICTION: raw(rows)}

    by_objective = {
        "binary:logistic": binary,
        "multi:softprob": several,
        "multi:softmax": label,
        "binary:hinge": label,
    }
    return by_objective.get(objective, number)
