import numpy as np
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.tensors import NUMPY, Datatype, Signature, TensorSpec, datatype_of

TWO = Signature(
    (TensorSpec("a", Datatype.FP32, (-1, 2)), TensorSpec("b", Datatype.BYTES, (-1,))), ()
)


def _inputs(rows_a: int, rows_b: int) -> dict[str, np.ndarray]:
    return {"a": np.zeros((rows_a, 2), np.float32), "b": np.full(rows_b, "", dtype=object)}


def test_inputs_that_fit_give_their_number_of_rows() -> None:
    assert TWO.check(_inputs(3, 3)) == 3


def test_a_model_without_a_batch_has_one_row() -> None:
    signature = Signature((TensorSpec("a", Datatype.INT64, (2, 2)),), ())
    assert signature.check({"a": np.zeros((2, 2), np.int64)}) == 1


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "input 'a' is missing; the model takes 'a', 'b'"),
        (_inputs(2, 3), "input 'b' has 3 rows, but an earlier input has 2"),
        (_inputs(0, 0), "no rows"),
        ({**_inputs(1, 1), "c": np.zeros(1)}, "input 'c' is unknown; the model takes 'a', 'b'"),
        (
            {**_inputs(1, 1), "a": np.zeros((1, 2))},
            "input 'a' has datatype FP64, expected FP32",
        ),
        (
            {**_inputs(1, 1), "a": np.zeros((1, 3), np.float32)},
            r"input 'a' has shape \[1, 3\], expected \[-1, 2\]",
        ),
        (
            {**_inputs(1, 1), "a": np.zeros(2, np.float32)},
            r"input 'a' has shape \[2\], expected \[-1, 2\]",
        ),
    ],
)
def test_what_does_not_fit_is_told_by_name(inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        TWO.check(inputs)


def test_a_signature_of_bf16_takes_nothing_that_numpy_has() -> None:
    signature = Signature((TensorSpec("a", Datatype.BF16, (-1,)),), ())
    with pytest.raises(Invalid, match="input 'a' has datatype FP32, expected BF16"):
        signature.check({"a": np.zeros(1, np.float32)})


@pytest.mark.parametrize(("datatype", "dtype"), NUMPY.items())
def test_each_datatype_has_one_numpy_type_and_back(datatype: Datatype, dtype: np.dtype) -> None:
    assert datatype_of(np.zeros(1, dtype)) is datatype


def test_any_string_is_bytes_and_complex_numbers_are_nothing() -> None:
    assert datatype_of(np.array(["a"])) is Datatype.BYTES
    assert datatype_of(np.array([b"a"])) is Datatype.BYTES
    with pytest.raises(Invalid, match="complex128"):
        datatype_of(np.zeros(1, np.complex128))
