"""Comparing the answers of two forms of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.registry.parity import Parity
from modelyard.training.conversion.agreement import TOLERANCE, compare
from modelyard.training.conversion.trees import round_down

NUMBERS = Signature((), (TensorSpec("prediction", Datatype.FP32, (-1,)),))
CLASSES = Signature(
    (),
    (
        TensorSpec("label", Datatype.INT64, (-1,)),
        TensorSpec("probabilities", Datatype.FP32, (-1, 2)),
    ),
)


def numbers(one: Any, other: Any) -> Parity:
    return compare(NUMBERS, {"prediction": np.array(one)}, {"prediction": np.array(other)})


def test_numbers_agree_within_the_tolerance_of_their_size() -> None:
    parity = numbers([1.0, 1e6], [1.0 + 5e-5, 1e6 + 50])
    assert parity.agreed
    assert parity.largest_difference == pytest.approx(50)
    assert (parity.rows, parity.tolerance, parity.label_agreement) == (2, TOLERANCE, None)
    assert numbers([1.0], [1.001]).reason == "'prediction' differs by up to 0.001 of its size"


def test_gaps_and_infinities_equal_themselves_and_nothing_else() -> None:
    nan, inf = float("nan"), float("inf")
    assert numbers([nan, inf, -inf], [nan, inf, -inf]).agreed
    assert not numbers([nan], [1.0]).agreed
    assert not numbers([1.0], [nan]).agreed
    assert not numbers([inf], [-inf]).agreed
    assert not numbers([1.0], [inf]).agreed


def test_another_shape_is_told() -> None:
    parity = numbers([1.0, 2.0], [1.0])
    assert parity.reason == "output 'prediction' has shape (1,) instead of (2,)"


def test_labels_may_differ_only_where_two_classes_tie() -> None:
    probabilities = np.array([[0.5, 0.5], [0.9, 0.1]], np.float32)
    native = {"label": np.array([0, 0]), "probabilities": probabilities}
    tied = {"label": np.array([1, 0]), "probabilities": probabilities}
    assert compare(CLASSES, native, tied).agreed
    wrong = {"label": np.array([0, 1]), "probabilities": probabilities}
    parity = compare(CLASSES, native, wrong)
    assert (parity.agreed, parity.label_agreement) == (False, 0.5)
    assert parity.reason == "'label' is the same in 50.00% of the rows only"


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1e300, -1e300, 0.0, 1 / 3, 5e-324, -5e-324])
def test_a_threshold_rounded_down_decides_alike(threshold: float) -> None:
    narrow = np.float32(*round_down([threshold]))
    with np.errstate(over="ignore"):
        near = np.float32(threshold)
    for value in (
        near,
        np.nextafter(near, np.float32(np.inf)),
        np.nextafter(near, np.float32(-np.inf)),
        np.float32(0),
    ):
        assert (float(value) <= threshold) == bool(value <= narrow)
