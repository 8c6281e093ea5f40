"""KServe V1 through the raw ASGI app, over real graphs."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from modelyard.core.tensors import Datatype
from tests.dataplane import (
    LIMIT,
    Answer,
    Gateway,
    call,
    classifier,
    echo,
    picker,
    several,
    summed,
    table,
)

KEY = "my_caller"
ROW = "expected a record or a list of 3: age, income, member"


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    made = Gateway(tmp_path)
    made.key(KEY)
    made.deploy(table(), classifier(), several(), summed(), picker(), echo(Datatype.BYTES, (-1,)))
    made.deploy(echo(Datatype.FP32, (-1, 2, 2)), echo(Datatype.BOOL, (-1,)))
    made.publish()
    yield made
    await made.close()


async def predict(gateway: Gateway, name: str, instances: Any) -> Answer:
    body = instances if isinstance(instances, bytes) else {"instances": instances}
    return await call(gateway.front, "POST", f"/v1/models/{name}:predict", body, key=KEY)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "instances", "predictions"),
    [
        # Records, in any order; a missing key and null are missing values; booleans are 0 and 1.
        ("table", [{"age": 1, "income": 2.5, "member": 3}], [6.5]),
        ("table", [{"member": True, "income": 2, "age": 1}, {"age": 1}], [4.0, None]),
        ("table", [{"age": 1, "income": None, "member": False}], [None]),
        ("table", [{}], [None]),
        # Rows, in the order of the columns.
        ("table", [[1, 2, 3], [4, 5, True]], [6.0, 10.0]),
        ("table", [[1, None, 3]], [None]),
        # One tensor per column: a classifier gives its labels.
        ("classifier", [{"age": 3, "city": "Graz"}], ["Graz"]),
        ("classifier", [{"age": True}, {"city": "Linz"}], ["", "Linz"]),
        ("classifier", [[3, "Graz"], [None, None]], ["Graz", ""]),
        # The value of the only input.
        ("picker", [0, 2, 1], [10, 30, 20]),
        ("picker", [{"at": 2}], [30]),
        ("echo-bytes", ["a", "\u00e9"], ["a", "\u00e9"]),
        ("echo-bool", [True, False], [True, False]),
        ("echo-fp32", [[[1, 2], [3, 4]]], [[[1.0, 2.0], [3.0, 4.0]]]),
        ("echo-fp32", [{"x": [[1, 2], [3, 4]]}], [[[1.0, 2.0], [3.0, 4.0]]]),
        # Several inputs and outputs: a record each.
        ("several", [{"a": 1, "b": [2, 3]}], [{"c": 1, "d": [2, 3]}]),
        (
            "several",
            [[1, [2, 3]], [4, [5, 6]]],
            [{"c": 1, "d": [2, 3]}, {"c": 4, "d": [5, 6]}],
        ),
    ],
)
async def test_instances_become_predictions(
    gateway: Gateway, name: str, instances: Any, predictions: Any
) -> None:
    answer = await predict(gateway, name, instances)
    assert answer.status == 200, answer.body
    assert answer.json() == {"predictions": predictions}
    assert [event.rows for event in gateway.events()] == [len(instances)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "instances", "message"),
    [
        ("table", b"", "not a predict request"),
        ("table", b'{"instances": [1', "not a predict request"),
        ("table", b"[1]", "not a predict request"),
        ("table", b"{}", "instances"),
        ("table", b'{"instances": {"age": 1}}', "not a predict request"),
        ("table", b'{"instances": null}', "not a predict request"),
        ("table", b'{"instances": ["\xff"]}', "not a predict request"),
        ("table", b'{"instances": ["\\udc00"]}', "not a predict request"),
        ("table", b'{"instances": [{"age": NaN}]}', "not a predict request"),
        ("table", b'{"instances": [{"age": 1e999}]}', "not a predict request"),
        ("table", b'{"instances": [' + b"[" * 100_000, "not a predict request|too deeply"),
        ("table", b"[" * (LIMIT - 1), "not a predict request|too deeply"),
        ("table", [], "instances is empty"),
        ("table", [None], "instance 0 is null, " + ROW),
        ("table", ["a"], "instance 0 is a string, " + ROW),
        ("table", [5], "instance 0 is a number, " + ROW),
        ("table", [[1, 2]], "instance 0 has 2 values, " + ROW),
        ("table", [[1, 2, 3], [1, 2]], "instance 1 has 2 values, " + ROW),
        ("table", [[1, 2, 3], 5], "instance 1 is a number, " + ROW),
        ("table", [[[1, 2, 3]]], "instance 0 has 1 values, " + ROW),
        ("table", [[[1], [2], [3]]], r"shape \[1, 3, 1\]"),
        ("table", [[[[[[1]]]]]], "instance 0 has 1 values, " + ROW),
        ("table", [[[[1]], 2, 3]], "a list where FP32|rows differ"),
        ("echo-fp32", [[[1, 2], [3]]], "rows differ in length at element 1 of depth 2"),
        ("echo-fp32", [[[[[1]]]]], "a list where FP32|shape"),
        ("table", [[1, 2, "3"]], "a string where FP32"),
        ("table", [{"age": "old"}], "instance 0: 'age' is a string, expected FP32"),
        ("table", [{"age": 1}, {"age": {}}], "instance 1: 'age' is an object, expected FP32"),
        ("table", [{"age": [1]}], "instance 0: 'age' is a list, expected FP32"),
        ("table", [{"age": 1e39}], "input 'features': a value is out of range for FP32"),
        ("table", [{"age": 10**400}], "range"),
        ("table", [{"agee": 1}], "instance 0: 'agee' is unknown; the model takes age, income, mem"),
        ("table", [{"age": 1}, [1, 2, 3]], "instance 1 is a list, expected a record"),
        ("table", [{"age": 1}, None], "instance 1 is null, expected a record"),
        ("table", [[1, 2, 3], {"age": 1}], "instance 1 is an object, " + ROW),
        ("classifier", [{"age": "1"}], "instance 0: 'age' is a string, expected FP32"),
        ("classifier", [{"city": 5}], "instance 0: 'city' is a number, expected BYTES"),
        ("classifier", [{"city": True}], "instance 0: 'city' is a boolean, expected BYTES"),
        ("classifier", [{"age": [1]}], r"input 'age' has shape \[1, 1\], expected \[-1\]"),
        ("classifier", [{"age": 1}, {"age": [1]}], "a list where FP32"),
        ("classifier", [["Graz"]], "instance 0 has 1 values, expected a record or a list of 2"),
        ("classifier", ["Graz"], "instance 0 is a string, expected a record or a list of 2"),
        ("several", [{"a": 1}], "instance 0: 'b' is missing"),
        ("several", [{"a": None, "b": [1, 2]}], "instance 0: 'a' is missing"),
        ("several", [{"a": 1.5, "b": [1, 2]}], "instance 0: 'a' is a number, expected INT64"),
        ("several", [{"a": True, "b": [1, 2]}], "instance 0: 'a' is a boolean, expected INT64"),
        ("several", [{"a": 1, "b": [1, True]}], "a boolean where INT64"),
        ("several", [{"a": 2**63, "b": [1, 2]}], "input 'a': a value is out of range for INT64"),
        ("several", [{"a": 1, "b": [1, 2, 3]}], r"input 'b' has shape \[1, 3\]"),
        ("several", [{"a": 1, "b": 2}], r"input 'b' has shape \[1\]"),
        ("picker", [True], "a boolean where INT64"),
        ("picker", [7], "the model refused the input"),
        ("picker", [[]], r"input 'at' has shape \[1, 0\]"),
        ("echo-bool", [1], "a number where BOOL"),
        ("echo-bytes", [None], "null where BYTES"),
        ("summed", [1, 2], "outputs of this model do not come in rows"),
    ],
)
async def test_what_is_wrong_is_400_and_told(
    gateway: Gateway, name: str, instances: Any, message: str
) -> None:
    answer = await predict(gateway, name, instances)
    assert answer.status == 400, answer.body
    assert list(answer.json()) == ["error"]
    assert re.search(message, answer.json()["error"]), answer.body
    assert [event.status for event in gateway.events()] == [400]


@pytest.mark.asyncio
async def test_models_are_listed_and_described_for_their_tenant(gateway: Gateway) -> None:
    gateway.key("my_stranger", tenant="tnt_2")
    gateway.publish()
    names = (await call(gateway.front, "GET", "/v1/models", key=KEY)).json()["models"]
    assert names == sorted(names)
    assert "table" in names
    theirs = await call(gateway.front, "GET", "/v1/models", key="my_stranger")
    assert theirs.json() == {"models": [], "object": "list", "data": []}
    ready = await call(gateway.front, "GET", "/v1/models/table", key=KEY)
    assert (ready.json()["name"], ready.json()["ready"]) == ("table", True)
    hidden = await call(gateway.front, "GET", "/v1/models/table", key="my_stranger")
    assert hidden.status == 404


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/v1/models/:predict", "/v1/models/nothing:predict"])
async def test_no_such_model(gateway: Gateway, path: str) -> None:
    answer = await call(gateway.front, "POST", path, {"instances": [1]}, key=KEY)
    assert answer.status == 404
    assert list(answer.json()) == ["error"]
    assert gateway.events() == []
