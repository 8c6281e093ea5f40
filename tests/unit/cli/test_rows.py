from __future__ import annotations

from typing import Any

import pytest

from modelyard.cli.failure import CommandFailed
from modelyard.cli.rows import Rows, fit_strings, read_rows
from modelyard_client.inference import ModelMetadata, TensorMetadata

RECORDS = [{"a": 1, "b": "x"}, {"a": 2.5, "b": None}]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"instances": [{"a": 1, "b": "x"}, {"a": 2.5, "b": null}]}', RECORDS),
        ('[{"a": 1, "b": "x"}, {"a": 2.5, "b": null}]', RECORDS),
        ('\n {"a": 1, "b": "x"}\n\n{"a": 2.5, "b": null}\n', RECORDS),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[1, 2]\n[3, 4]\n", [[1, 2], [3, 4]]),
        ('{"a": 1}', [{"a": 1}]),
        ('{"a": 1}\n', [{"a": 1}]),
    ],
)
def test_json_in_all_its_forms(text: str, rows: list[Any]) -> None:
    assert read_rows(text, "f") == (rows, False, False)


def test_csv_is_read_as_text() -> None:
    rows = read_rows('a,b\r\n1,"x, ""y""\nz"\r\n2,\r\n', "f")
    assert rows == ([{"a": "1", "b": 'x, "y"\nz'}, {"a": "2", "b": ""}], True, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no rows"),
        (" \n", "holds no rows"),
        ("[]", "holds no rows"),
        ('{"instances": []}', "holds no rows"),
        ("a,b\n", "holds no rows beneath"),
        ("[1, 2", "not JSON"),
        ('{"a": 1}\n{"a": }\n', "line 2: not JSON"),
        ("a,b\n1,2\n3\n", "line 3: 1 values under 2"),
        ("a,a\n1,2\n", "line 1: a heading"),
        ("a,b\n1,2,3\n", "line 2: 3 values under 2"),
        ('a,b\n1,"2\n', "line 2: not CSV"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(CommandFailed, match=said):
        read_rows(text, "rows.txt")


METADATA = ModelMetadata(
    "m",
    [
        TensorMetadata("features", "FP32", [-1, 2], {"columns": ["age", "member"]}),
        TensorMetadata("visits", "INT64", [-1]),
        TensorMetadata("plan", "BYTES", [-1]),
    ],
    [],
)


def test_text_becomes_what_the_model_takes() -> None:
    records = [
        {"age": " 41.5", "member": "TRUE", "visits": "3", "plan": " basic", "left": "yes"},
        {"age": "", "member": "false", "visits": "4", "plan": "", "left": "no"},
        {"age": "NA", "member": "n/a", "visits": " ", "plan": "None", "left": "no"},
    ]
    fitted, ignored = fit_strings(records, METADATA)
    assert fitted == [
        {"age": 41.5, "member": True, "visits": 3, "plan": "basic"},
        {"age": None, "member": False, "visits": 4, "plan": None},
        {"age": None, "member": None, "visits": None, "plan": None},
    ]
    assert ignored == ["left"]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_csv_is_separated_as_that_of_a_data_set_is(separator: str) -> None:
    text = "\nage ;plan\n41,5;a, b\n".replace(";", separator)
    rows = read_rows(text, "f")
    assert rows == Rows([{"age": "41,5", "plan": "a, b"}], strings=True, decimal_comma=True)
    fitted, _ = fit_strings(rows.values, METADATA, decimal_comma=rows.decimal_comma)
    assert fitted == [{"age": 41.5, "plan": "a, b"}]


def test_a_cell_that_is_no_number_is_named() -> None:
    with pytest.raises(CommandFailed, match="row 2, column 'age': 'old' is not a number"):
        fit_strings([{"age": "1"}, {"age": "old"}], METADATA)
