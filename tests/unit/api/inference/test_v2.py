"""Open Inference Protocol v2 through the raw ASGI app, over real graphs."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from modelyard.api.inference.extensions import NAMES
from modelyard.core.tensors import NUMPY, Datatype
from modelyard.serving.journal import JournalWriter
from tests.dataplane import (
    LIMIT,
    ONNX_TYPE,
    OTHER_TENANT,
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
JSON_TYPES = [each for each in ONNX_TYPE if each is not Datatype.FP16]
SAMPLES: dict[Datatype, list[Any]] = {
    Datatype.BOOL: [True, False],
    Datatype.BYTES: ["a\u00e9\u4e16", ""],
    Datatype.FP32: [1.5, -0.25],
    Datatype.FP64: [1e300, -2.5],
}


def sample(datatype: Datatype) -> list[Any]:
    if datatype in SAMPLES:
        return SAMPLES[datatype]
    bounds = np.iinfo(NUMPY[datatype])
    return [int(bounds.max), int(bounds.min)]


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    made = Gateway(tmp_path)
    made.key(KEY)
    made.key("my_stranger", tenant=OTHER_TENANT)
    made.deploy(*(echo(each) for each in JSON_TYPES))
    made.deploy(table(), classifier(), several(), summed(), picker())
    made.publish({("tnt_1", "broken"): "ONNX Runtime does not load it"})
    yield made
    await made.close()


async def infer(
    gateway: Gateway, name: str, body: Any, path: str = "/v2/models/{}/infer", **more: Any
) -> Answer:
    return await call(gateway.front, "POST", path.format(name), body, key=KEY, **more)


def one(name: str, datatype: str, shape: list[int], data: Any, **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}], **more}


@pytest.mark.asyncio
@pytest.mark.parametrize("datatype", JSON_TYPES)
async def test_every_datatype_goes_through_a_real_graph_and_back(
    gateway: Gateway, datatype: Datatype
) -> None:
    values = sample(datatype)
    for data in (values, [[value] for value in values]):
        body = one("x", datatype, [2, 1], data, id="ask-1")
        answer = await infer(gateway, f"echo-{datatype.lower()}", body)
        assert answer.status == 200, answer.body
        assert answer.json() == {
            "model_name": f"echo-{datatype.lower()}",
            "model_version": "1",
            "id": "ask-1",
            "outputs": [{"name": "y", "datatype": datatype, "shape": [2, 1], "data": values}],
        }


@pytest.mark.asyncio
async def test_an_id_is_echoed_and_never_invented(gateway: Gateway) -> None:
    body = one("at", "INT64", [1], [1])
    assert "id" not in (await infer(gateway, "picker", body)).json()
    strange = 'a"\\\u0000\u2028\U0001f600'
    assert (await infer(gateway, "picker", {**body, "id": strange})).json()["id"] == strange


@pytest.mark.asyncio
async def test_asked_outputs_come_in_the_order_asked(gateway: Gateway) -> None:
    body = {
        "inputs": [
            {"name": "b", "datatype": "INT64", "shape": [2, 2], "data": [[1, 2], [3, 4]]},
            {"name": "a", "datatype": "INT64", "shape": [2], "data": [5, 6]},
        ]
    }
    every = (await infer(gateway, "several", body)).json()["outputs"]
    assert [(each["name"], each["data"]) for each in every] == [("c", [5, 6]), ("d", [1, 2, 3, 4])]
    body["outputs"] = [{"name": "d"}, {"name": "c"}]
    swapped = (await infer(gateway, "several", body)).json()["outputs"]
    assert [each["name"] for each in swapped] == ["d", "c"]


GOOD = one("at", "INT64", [1], [1])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        ("picker", b"", "not an inference request"),
        ("picker", b"null", "not an inference request"),
        ("picker", b"[]", "not an inference request"),
        ("picker", b"{}", "inputs"),
        ("picker", json.dumps(GOOD).encode()[:-5], "not an inference request"),
        ("picker", b"\xff\xfe", "not an inference request"),
        ("picker", b'{"inputs": [], "id": "\xff"}', "not an inference request"),
        ("picker", b'{"inputs": [], "id": "\\ud800"}', "not an inference request"),
        ("picker", b'{"inputs":' + b"[" * 100_000, "not an inference request|too deeply"),
        ("picker", b"[" * (LIMIT - 1), "not an inference request|too deeply"),
        ("picker", {"inputs": [], "parameters": 5}, "not an inference request"),
        ("picker", {**GOOD, "id": 5}, "not an inference request"),
        ("picker", {"inputs": []}, "input 'at' is missing"),
        ("picker", {"inputs": GOOD["inputs"] * 2}, "input 'at' is given twice"),
        ("picker", one("other", "INT64", [1], [1]), "input 'other' is unknown; the model"),
        ("picker", {"inputs": GOOD["inputs"] + one("z", "INT64", [1], [1])["inputs"]}, "'z' is un"),
        ("picker", one("at", "INT32", [1], [1]), "datatype INT32, expected INT64"),
        ("picker", one("at", "INT128", [1], [1]), "INT128"),
        ("picker", one("at", "int64", [1], [1]), "int64"),
        ("picker", one("at", "BF16", [1], [1]), "datatype BF16, expected INT64"),
        ("picker", one("at", "INT64", [1, 1], [1]), r"shape \[1, 1\], expected \[-1\]"),
        ("picker", one("at", "INT64", [0], []), "no rows"),
        ("picker", one("at", "INT64", [-1], [1]), "input 'at'.*negative"),
        ("picker", one("at", "INT64", [1.0], [1]), "not an inference request"),  # type: ignore[list-item]
        ("picker", one("at", "INT64", [True], [1]), "not an inference request"),
        ("picker", {"inputs": [{"name": "at", "datatype": "INT64", "shape": [1]}]}, "no data"),
        ("picker", one("at", "INT64", [1], None), "must be a list, not null"),
        ("picker", one("at", "INT64", [1], [7]), "the model refused the input"),
        ("picker", {**GOOD, "outputs": [{"name": "nope"}]}, "output 'nope' is unknown; .* 'value'"),
        ("picker", {**GOOD, "outputs": [{"name": "value"}] * 2}, "asked for twice"),
        ("picker", {**GOOD, "outputs": {"name": "value"}}, "not an inference request"),
        ("table", one("features", "FP32", [1, 2], [1, 2]), r"shape \[1, 2\], expected \[-1, 3\]"),
        ("table", one("features", "FP32", [1, 3], [1, True, 2]), "a boolean where FP32"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_400_in_the_protocols_form(
    gateway: Gateway, model: str, body: Any, message: str
) -> None:
    answer = await infer(gateway, model, body)
    assert answer.status == 400, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert re.search(message, answer.json()["error"]), answer.body
    assert b"Traceback" not in answer.body
    assert b"/src/" not in answer.body


@pytest.mark.asyncio
async def test_a_nullable_column_takes_null(gateway: Gateway) -> None:
    answer = await infer(gateway, "table", one("features", "FP32", [1, 3], [[1, None, 2]]))
    assert answer.json()["outputs"][0]["data"] == [None]


@pytest.mark.asyncio
async def test_an_unknown_deployment_and_another_tenants_look_the_same(gateway: Gateway) -> None:
    unknown = await infer(gateway, "nothing", GOOD)
    theirs = await call(gateway.front, "POST", "/v2/models/picker/infer", GOOD, key="my_stranger")
    assert unknown.status == theirs.status == 404
    assert unknown.json() == {"error": "there is no deployment 'nothing'"}
    assert theirs.json() == {"error": "there is no deployment 'picker'"}


@pytest.mark.asyncio
async def test_a_deployment_that_does_not_serve_says_why(gateway: Gateway) -> None:
    answer = await infer(gateway, "broken", GOOD)
    assert answer.status == 503
    assert "ONNX Runtime does not load it" in answer.json()["error"]


@pytest.mark.asyncio
async def test_a_version_is_served_by_its_number_and_no_other(gateway: Gateway) -> None:
    path = "/v2/models/{}/versions/%s/infer"
    assert (await infer(gateway, "picker", GOOD, path % "1")).status == 200
    for version in ("2", "01", "latest", "1 "):
        answer = await infer(gateway, "picker", GOOD, path % version)
        assert answer.status == 404
        assert "serves version 1, not" in answer.json()["error"]


@pytest.mark.asyncio
@pytest.mark.parametrize("parts", [1, 2, 7])
async def test_a_body_over_the_limit_is_413_however_it_comes(gateway: Gateway, parts: int) -> None:
    assert (await infer(gateway, "picker", GOOD, parts=parts)).status == 200
    answer = await infer(gateway, "picker", b" " * (LIMIT + 1), parts=parts)
    assert answer.status == 413
    assert answer.json() == {"error": f"the body is larger than {LIMIT} bytes"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-length": str(LIMIT + 1)}, 413),
        ({"content-length": "9" * 5000}, 413),
        ({"content-length": "-1"}, 400),
        ({"content-length": "1e3"}, 400),
        ({"content-encoding": "gzip"}, 400),
        ({"content-encoding": "br"}, 415),
        ({"content-encoding": "identity"}, 200),
        ({"inference-header-content-length": "10"}, 400),
    ],
)
async def test_headers_are_checked_before_the_body_is_read(
    gateway: Gateway, headers: dict[str, str], status: int
) -> None:
    assert (await infer(gateway, "picker", GOOD, headers=headers)).status == status


@pytest.mark.asyncio
async def test_a_client_that_goes_away_in_its_body_leaves_no_trace(gateway: Gateway) -> None:
    sent: list[Any] = []
    messages = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer my_caller")]
    scope = {"type": "http", "method": "POST", "path": "/v2/models/picker/infer"}
    await gateway.front({**scope, "headers": headers}, receive, send)
    assert sent == []
    assert gateway.events() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("inline_rows", [0, 1000])
async def test_the_journal_holds_each_answer_before_it_leaves(
    gateway: Gateway, inline_rows: int
) -> None:
    gateway.deploy(picker(), inline_rows=inline_rows)
    gateway.publish()
    body = json.dumps(one("at", "INT64", [3], [0, 1, 2])).encode()
    good = await infer(gateway, "picker", body)
    assert [event.status for event in gateway.events()] == [200]
    bad = await infer(gateway, "picker", b"{")
    first, second = gateway.events()
    assert (first.rows, first.bytes_in, first.bytes_out) == (3, len(body), len(good.body))
    assert (first.tenant_id, first.key_id, first.deployment) == ("tnt_1", "key_my_caller", "picker")
    assert (first.model, first.version) == ("m-picker", 1)
    assert first.request_id == good.headers["x-request-id"]
    assert (second.status, second.rows, second.bytes_in) == (400, 0, 1)
    assert second.request_id == bad.headers["x-request-id"]


@pytest.mark.asyncio
async def test_what_cannot_be_recorded_is_not_given_away(gateway: Gateway) -> None:
    await gateway.journal.close()
    answer = await infer(gateway, "picker", GOOD)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"
    assert "usage cannot be recorded" in answer.json()["error"]
    gateway.journal = JournalWriter(gateway.folder / "journal", 50)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "described"),
    [
        ("/v2", {"name": "modelyard", "version": "0.0.0", "extensions": list(NAMES)}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/picker/ready", {"name": "picker", "ready": True}),
        ("/v2/models/picker/versions/1/ready", {"name": "picker", "ready": True}),
        (
            "/v2/models/table",
            {
                "name": "table",
                "versions": ["1"],
                "platform": "onnxruntime_onnx",
                "inputs": [
                    {
                        "name": "features",
                        "datatype": "FP32",
                        "shape": [-1, 3],
                        "parameters": {"columns": ["age", "income", "member"], "nullable": True},
                    }
                ],
                "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [-1]}],
            },
        ),
    ],
)
async def test_metadata(gateway: Gateway, path: str, described: Any) -> None:
    answer = await call(gateway.front, "GET", path, key=KEY)
    assert (answer.status, answer.json()) == (200, described)


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/v2/models/nothing", "/v2/models/picker/versions/2", "/v2/x"])
async def test_metadata_of_what_is_not_there(gateway: Gateway, path: str) -> None:
    answer = await call(gateway.front, "GET", path, key=KEY)
    assert answer.status == 404
    assert list(answer.json()) == ["error"]


@pytest.mark.asyncio
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"])
async def test_infer_takes_post_alone(gateway: Gateway, method: str) -> None:
    answer = await call(gateway.front, method, "/v2/models/picker/infer", key=KEY)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.asyncio
async def test_metadata_takes_get_alone(gateway: Gateway) -> None:
    answer = await call(gateway.front, "POST", "/v2/models/picker", b"{}", key=KEY)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
