"""Sample rows in the shapes that publishers have at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.core.errors import Invalid, TooLarge
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.training.conversion import sample as samples
from modelyard.training.conversion.sample import Sample, synthesize, with_gaps

MATRIX = (TensorSpec("features", Datatype.FP32, (-1, 2), ("a", "b"), nullable=True),)
COLUMNS = (TensorSpec("a", Datatype.FP32, (-1,)), TensorSpec("b", Datatype.BYTES, (-1,)))


@pytest.mark.parametrize(
    "content",
    [
        [[1, 2], [3, None]],
        [{"a": 1, "b": 2}, {"b": None, "a": 3}],
        [{"b": 2, "a": 1}, {"a": 3}],
        {"instances": [[1, 2], [3, None]]},
        {"instances": [{"a": 1, "b": 2}, {"a": 3}]},
        {"columns": ["a", "b"], "data": [[1, 2], [3, None]]},
        {"dataframe_split": {"index": [0, 1], "columns": ["b", "a"], "data": [[2, 1], [None, 3]]}},
        {"inputs": [[1, 2], [3, None]]},
        {"inputs": {"features": [[1, 2], [3, None]]}},
        {"a": [1, 3], "b": [2, None]},
        {
            "inputs": [
                {
                    "name": "features",
                    "datatype": "FP64",
                    "shape": [2, 2],
                    "data": [1, 2, 3, float("nan")],
                }
            ]
        },
    ],
)
def test_every_shape_fits_a_matrix(content: Any) -> None:
    tensors = Sample.parse(content).fit(MATRIX)
    assert tensors["features"].dtype == np.float32
    np.testing.assert_array_equal(tensors["features"], [[1, 2], [3, np.nan]])


@pytest.mark.parametrize(
    "content",
    [
        [{"a": 1, "b": "x"}, {"a": None, "b": None}],
        {"a": [1, None], "b": ["x", None]},
        {"inputs": [{"name": "a", "datatype": "FP32", "shape": [2], "data": [1, float("nan")]},
                    {"name": "b", "datatype": "BYTES", "shape": [2], "data": ["x", ""]}]},
    ],
)  # fmt: skip
def test_every_shape_fits_columns(content: Any) -> None:
    tensors = Sample.parse(content).fit(COLUMNS)
    np.testing.assert_array_equal(tensors["a"], np.array([1, np.nan], np.float32))
    assert tensors["b"].tolist() == ["x", ""]


def test_rows_of_a_list_fit_columns_by_place() -> None:
    numbers = tuple(TensorSpec(name, Datatype.FP32, (-1,)) for name in "ab")
    assert Sample.parse([[1, 2]]).fit(numbers)["b"].tolist() == [2]


@pytest.mark.parametrize(
    ("content", "inputs"),
    [
        ([[1, 2]], (TensorSpec("features", Datatype.FP32, (-1, 2)),)),
        ([[[1], [2]]], (TensorSpec("input", Datatype.FP32, (-1, 2, 1)),)),
        (["a", "b"], (TensorSpec("features", Datatype.BYTES, (-1,)),)),
        ([{"a": 1, "b": 2}], (TensorSpec("features", Datatype.FP32, (-1, 2), ("a", "b")),)),
        ([{"a": 1, "b": "x"}], COLUMNS),
        (
            {"inputs": [{"name": "i", "datatype": "INT64", "shape": [1, 2], "data": [1, 2]}]},
            (TensorSpec("i", Datatype.INT64, (-1, 2)),),
        ),
    ],
)
def test_a_sample_tells_what_a_model_takes(content: Any, inputs: tuple[TensorSpec, ...]) -> None:
    assert Sample.parse(content).inputs() == inputs


@pytest.mark.parametrize(
    "content", [[], {}, 3, "x", None, [[1], [2, 3]], {"inputs": [{"datatype": "FP32"}]}, [{}]]
)
def test_what_is_no_sample_is_refused_by_a_hint(content: Any) -> None:
    with pytest.raises(Invalid, match="must be a list of records such as"):
        Sample.parse(content)


def test_a_sample_of_something_else_says_what_is_missing() -> None:
    with pytest.raises(Invalid, match="the sample has no input 'a', which the model takes"):
        Sample.parse([{"c": 1, "d": 2}]).fit(COLUMNS)
    with pytest.raises(Invalid, match="input 'a' holds words where numbers belong"):
        Sample.parse([{"a": "x", "b": "y"}]).fit(COLUMNS)
    with pytest.raises(Invalid, match=r"shape \[1, 3\], expected \[-1, 2\]"):
        Sample.parse([[1, 2, 3]]).fit(MATRIX)


def test_files_are_read_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sample.json"
    path.write_text(json.dumps([[1, 2]] * 2000))
    assert len(Sample.read(path).fit(MATRIX)["features"]) == samples.MAX_ROWS
    path.write_text("{")
    with pytest.raises(Invalid, match="the sample is not JSON"):
        Sample.read(path)
    monkeypatch.setattr(samples, "MAX_BYTES", 0)
    with pytest.raises(TooLarge, match="some rows are enough"):
        Sample.read(path)


def test_made_up_rows_fit_their_signature_and_are_the_same_each_time() -> None:
    inputs = (
        *MATRIX,
        TensorSpec("b", Datatype.BYTES, (-1,)),
        TensorSpec("i", Datatype.INT32, (-1, 3)),
        TensorSpec("t", Datatype.BOOL, (-1,)),
        TensorSpec("f", Datatype.FP64, (-1, -1, 2)),
    )
    rows = synthesize(inputs)
    assert Signature(inputs, ()).check(rows) == samples.SYNTHETIC_ROWS
    again = synthesize(inputs)
    np.testing.assert_array_equal(rows["features"], again["features"])


def test_gaps_are_made_where_they_are_taken_and_nowhere_else() -> None:
    texts = TensorSpec("b", Datatype.BYTES, (-1,), nullable=True)
    whole = TensorSpec("c", Datatype.FP32, (-1,))
    rows = synthesize((*MATRIX, texts, whole))
    gapped = with_gaps((*MATRIX, texts, whole), rows)
    added = samples.GAP_ROWS
    assert np.isnan(gapped["features"][-added:]).any(axis=0).all()
    assert not np.isnan(gapped["features"][:-added]).any()
    assert gapped["b"][-added] == ""
    np.testing.assert_array_equal(gapped["c"][-added:], rows["c"][:added])
    assert with_gaps((whole,), {"c": rows["c"]})["c"] is rows["c"]
