"""The JSON codec: what is right comes back as it was, what is wrong is Invalid and named."""

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.api.inference.tensors import decode_tensor, encode_data, encode_rows
from modelyard.core.errors import Invalid
from modelyard.core.tensors import NUMPY, Datatype

JSON_TYPES = [each for each in Datatype if each not in (Datatype.FP16, Datatype.BF16)]
INTEGERS = [each for each in JSON_TYPES if "INT" in each]
shapes = st.lists(st.integers(1, 4), max_size=4)


def elements(datatype: Datatype) -> st.SearchStrategy[Any]:
    if datatype is Datatype.BOOL:
        return st.booleans()
    if datatype is Datatype.BYTES:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    if datatype is Datatype.FP32:
        return st.floats(allow_nan=False, allow_infinity=False, width=32)
    if datatype is Datatype.FP64:
        return st.floats(allow_nan=False, allow_infinity=False)
    bounds = np.iinfo(NUMPY[datatype])
    return st.integers(int(bounds.min), int(bounds.max))


def nested(flat: list[Any], shape: list[int]) -> Any:
    for size in reversed(shape[1:]):
        flat = [flat[at : at + size] for at in range(0, len(flat), size)]
    return flat


def decode(datatype: Datatype, shape: list[int], data: Any, *, nullable: bool = False) -> Any:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return decode_tensor("x", datatype, shape, msgspec.Raw(raw), nullable=nullable)


@pytest.mark.parametrize("datatype", JSON_TYPES)
@settings(max_examples=30)
@given(data=st.data(), shape=shapes)
def test_flat_and_nested_data_mean_the_same_and_come_back(
    datatype: Datatype, data: st.DataObject, shape: list[int]
) -> None:
    count = math.prod(shape)
    flat = data.draw(st.lists(elements(datatype), min_size=count, max_size=count))
    tensor = decode(datatype, shape, flat)
    assert tensor.dtype == NUMPY[datatype]
    assert tensor.shape == tuple(shape)
    assert tensor.reshape(-1).tolist() == flat
    if shape:
        again = decode(datatype, shape, nested(flat, shape))
        np.testing.assert_array_equal(again, tensor)
        rows = json.loads(encode_rows(tensor))
        np.testing.assert_array_equal(np.array(rows, tensor.dtype).reshape(shape), tensor)
        assert np.shape(rows) == tensor.shape
    # FP32 is written with as many digits as FP32 needs.
    written = np.array(json.loads(encode_data(tensor)), tensor.dtype)
    np.testing.assert_array_equal(written, tensor.reshape(-1))


@pytest.mark.parametrize("datatype", [Datatype.FP32, Datatype.FP64, Datatype.BYTES])
@settings(max_examples=30)
@given(data=st.data(), shape=shapes)
def test_null_is_a_missing_value_where_the_tensor_is_nullable(
    datatype: Datatype, data: st.DataObject, shape: list[int]
) -> None:
    count = math.prod(shape)
    missing = st.none() | elements(datatype)
    flat = data.draw(st.lists(missing, min_size=count, max_size=count))
    blank = "" if datatype is Datatype.BYTES else math.nan
    expected = np.array([blank if v is None else v for v in flat], NUMPY[datatype]).reshape(shape)
    for form in (flat, nested(flat, shape)) if shape else (flat,):
        np.testing.assert_array_equal(decode(datatype, shape, form, nullable=True), expected)
    if None in flat:
        with pytest.raises(Invalid, match="input 'x': null where"):
            decode(datatype, shape, flat)


@pytest.mark.parametrize("datatype", [*INTEGERS, Datatype.BOOL])
def test_null_is_refused_where_the_datatype_has_no_missing_value(datatype: Datatype) -> None:
    with pytest.raises(Invalid, match=f"input 'x': null where {datatype} is expected"):
        decode(datatype, [1], [None], nullable=True)


@pytest.mark.parametrize("datatype", INTEGERS)
def test_an_integer_beyond_its_datatype_is_refused_not_wrapped(datatype: Datatype) -> None:
    bounds = np.iinfo(NUMPY[datatype])
    for value in (int(bounds.max) + 1, int(bounds.min) - 1, 10**30, -(10**30)):
        for form in ([value], [[value]]):
            with pytest.raises(Invalid, match=r"input 'x'.*range"):
                decode(datatype, [1, 1], form)


@pytest.mark.parametrize(
    ("datatype", "raw"),
    [
        (Datatype.FP32, b"[1e39]"),
        (Datatype.FP32, b"[-3.5e38]"),
        (Datatype.FP32, b"[[1e39]]"),
        (Datatype.FP32, b"[1e999]"),
        (Datatype.FP64, b"[1e999]"),
        (Datatype.FP64, b"[-1e999]"),
        (Datatype.FP64, b"[" + b"9" * 400 + b"]"),
        (Datatype.INT64, b"[" + b"9" * 400 + b"]"),
        (Datatype.INT64, b"[" + b"9" * 5000 + b"]"),
        (Datatype.UINT8, b"[300]"),
        (Datatype.UINT8, b"[-1]"),
        (Datatype.UINT64, b"[-1]"),
    ],
)
def test_numbers_out_of_range_are_refused(datatype: Datatype, raw: bytes) -> None:
    with pytest.raises(Invalid, match=r"input 'x'.*range"):
        decode(datatype, [1, 1], raw)


@pytest.mark.parametrize("datatype", JSON_TYPES)
@pytest.mark.parametrize("wrong", [True, 1, 1.5, "a", {"a": 1}])
def test_a_value_of_another_kind_is_refused(datatype: Datatype, wrong: Any) -> None:
    fits = {
        Datatype.BOOL: (bool,),
        Datatype.BYTES: (str,),
        Datatype.FP32: (int, float),
        Datatype.FP64: (int, float),
    }.get(datatype, (int,))
    right = isinstance(wrong, fits) and (datatype is Datatype.BOOL or not isinstance(wrong, bool))
    for form in ([wrong], [[wrong]]):
        if right:
            assert decode(datatype, [1, 1], form).size == 1
            continue
        with pytest.raises(Invalid, match=f"input 'x': .* where {datatype} is expected"):
            decode(datatype, [1, 1], form)


@pytest.mark.parametrize(
    ("shape", "data", "message"),
    [
        ([2, 2], [[1, 2], [3]], "expected a list of 2 at depth 1, got 1 elements"),
        ([2, 2], [[1, 2], 3], "expected a list of 2 at depth 1, got a number"),
        ([2, 2], [[1, 2]], "expected a list of 2 at depth 0, got 1 elements"),
        ([2], [[1], [2]], "nested deeper than its shape"),
        ([], [[1]], "nested deeper than its shape"),
        ([2, 2], [1, [2], 3, 4], "a list where FP32 is expected"),
        ([2, 2], [1, 2, 3], r"shape \[2, 2\] means 4 values, data has 3"),
        ([1], [], r"shape \[1\] means 1 values, data has 0"),
        ([0], [1], r"shape \[0\] means 0 values, data has 1"),
        ([-1], [1], "negative"),
        ([1] * 17, [1], "at most 16 dimensions"),
        ([1] * 100_000, [1], "at most 16 dimensions"),
        ([2**40], [1], "means more than"),
        ([10**300, 10**300], [1], "means more than"),
        ([0, 10**30], [], "means more than"),
        ([0, 2**40, 2**40], [], "means more than"),
        ([1], None, "must be a list, not null"),
        ([1], {"a": 1}, "must be a list, not an object"),
        ([1], "a", "must be a list, not a string"),
        ([1], 5, "must be a list, not a number"),
        ([1], True, "must be a list, not a boolean"),
    ],
)
def test_data_that_does_not_follow_its_shape_is_refused(
    shape: list[int], data: Any, message: str
) -> None:
    with pytest.raises(Invalid, match=f"input 'x'.*{message}") as caught:
        decode(Datatype.FP32, shape, data)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("datatype", JSON_TYPES)
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[",
        b"[1",
        b"[1,]",
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"[nan]",
        b'["\\ud800"]',
        b'["\\udc00"]',
        b'["\xff"]',
        b'["\xed\xa0\x80"]',
        b'{"\xff": 1}',
        b"[" * 100_000,
        b"[" * 100_000 + b"1" + b"]" * 100_000,
        b"[[" + b"[" * 900 + b"1" + b"]" * 900 + b"]]",
        b"[] []",
    ],
    ids=range(17),
)
def test_bytes_that_are_not_json_are_refused(datatype: Datatype, raw: bytes) -> None:
    for nullable in (True, False):
        with pytest.raises(Invalid, match="input 'x'"):
            decode(datatype, [1], raw, nullable=nullable)


@pytest.mark.parametrize("datatype", list(Datatype))
@settings(max_examples=40)
@given(raw=st.binary(max_size=40), shape=st.lists(st.integers(-2, 5), max_size=3))
def test_no_bytes_at_all_give_another_error(
    datatype: Datatype, raw: bytes, shape: list[int]
) -> None:
    try:
        tensor = decode(datatype, shape, raw)
    except Invalid:
        return
    assert tensor.shape == tuple(shape)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=12,
)


@pytest.mark.parametrize("datatype", list(Datatype))
@settings(max_examples=40)
@given(value=json_values, shape=st.lists(st.integers(0, 3), max_size=3), nullable=st.booleans())
def test_no_json_at_all_gives_another_error(
    datatype: Datatype, value: Any, shape: list[int], nullable: bool
) -> None:
    try:
        tensor = decode(datatype, shape, value, nullable=nullable)
    except Invalid:
        return
    assert tensor.shape == tuple(shape)
    assert tensor.dtype == NUMPY[datatype]


@pytest.mark.parametrize("datatype", [Datatype.FP16, Datatype.BF16])
def test_halves_have_no_json_form(datatype: Datatype) -> None:
    with pytest.raises(Invalid, match=f"datatype {datatype} has no JSON form"):
        decode(datatype, [1], [1.0])


def test_outputs_that_are_not_finite_are_null() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        tensor = np.array([[1.5, np.nan], [np.inf, -np.inf]], dtype)
        assert json.loads(encode_data(tensor)) == [1.5, None, None, None]
        assert json.loads(encode_rows(tensor)) == [[1.5, None], [None, None]]


def test_outputs_that_are_not_contiguous_keep_their_order() -> None:
    tensor = np.arange(6, dtype=np.int64).reshape(2, 3).T
    assert json.loads(encode_data(tensor)) == [0, 3, 1, 4, 2, 5]
    assert json.loads(encode_rows(tensor)) == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("dtype", [np.float32, np.int64, object])
def test_empty_outputs_keep_their_shape(dtype: type) -> None:
    assert json.loads(encode_rows(np.empty((3, 0), dtype))) == [[], [], []]
    assert json.loads(encode_data(np.empty((3, 0), dtype))) == []


def test_bytes_that_are_no_text_are_written_in_base64() -> None:
    tensor = np.array([b"ab", b"\xff\x00", "c"], dtype=object)
    assert json.loads(encode_data(tensor)) == ["ab", "/wA=", "c"]
