"""Rows of a table as a served graph takes them."""

import numpy as np
import polars as pl

from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.training.inspection import describe
from modelyard.training.preprocessing import features_of
from modelyard.training.problem import define
from modelyard.training.served_graph import tensors
from modelyard.training.spec import TrainSpec

ROWS = pl.DataFrame({"a": [1.5, None] * 20, "b": [3.5, 4.5] * 20, "y": [0.25, 0.75] * 20})


def test_a_single_tensor_has_the_name_that_the_signature_gives_it() -> None:
    problem = define(describe(ROWS), ROWS.height, TrainSpec("table.parquet", "y"))
    matrix = TensorSpec("float_input", Datatype.FP32, (-1, 2))
    given = tensors(features_of(ROWS, problem)[:2], problem, Signature((matrix,), ()))
    assert list(given) == ["float_input"]
    np.testing.assert_array_equal(given["float_input"], [[1.5, 3.5], [np.nan, 4.5]])
