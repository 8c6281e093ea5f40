"""What a trace holds of an inference request, by whichever way the model runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from modelyard.adapters.telemetry.traces import OtelTracer
from modelyard.api.http import HttpRequest, HttpResponse
from modelyard.core.access import Grant, Scope
from modelyard.core.settings import Settings
from modelyard.core.tensors import Datatype
from modelyard.serving.options import CacheOptions, ServingOptions
from tests.batching import looping
from tests.dataplane import TENANT, Gateway, call, echo, wait_until

pytestmark = pytest.mark.asyncio

KEY = "my_caller_with_a_secret"
VALUE = 1234567


class Traced(Gateway):
    """A gateway that is traced into memory."""

    def __init__(self, folder: Path) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer = OtelTracer(Settings(), self.exporter, version="0", instance="gwy_1")
        super().__init__(folder, tracer=self.tracer)

    def spans(self) -> list[ReadableSpan]:
        """All of them, in the order of their ends."""
        self.tracer.close()
        return list(self.exporter.get_finished_spans())


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Traced]:
    made = Traced(tmp_path)
    made.key(KEY)
    made.deploy(echo(Datatype.INT64))
    made.deploy(echo(Datatype.FP32), options=ServingOptions(cache=CacheOptions()))
    made.deploy(looping(), inline_rows=0)
    made.publish()
    yield made
    made.tracer.close()
    await made.close()


async def ask(gateway: Gateway, model: str, data: list[Any], **headers: str) -> dict[str, str]:
    datatype, shape = ("INT64", [1]) if model == "looping" else (model[5:].upper(), [1, 1])
    name = "times" if model == "looping" else "x"
    tensor = {"name": name, "shape": shape, "datatype": datatype, "data": data}
    path = f"/v2/models/{model}/infer"
    answer = await call(gateway.front, "POST", path, {"inputs": [tensor]}, headers, key=KEY)
    return {"status": str(answer.status), **answer.headers}


async def test_a_request_on_the_event_loop(gateway: Traced) -> None:
    said = await ask(gateway, "echo-int64", [VALUE])
    spans = gateway.spans()
    assert [span.name for span in spans] == [
        "decode",
        "inference",
        "encode",
        "POST /v2/models/{model}/infer",
    ]
    whole = spans[-1]
    assert dict(whole.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v2/models/{model}/infer",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "modelyard.request.id": said["x-request-id"],
        "modelyard.tenant.id": TENANT,
        "modelyard.key.id": f"key_{KEY}",
        "modelyard.deployment.name": "echo-int64",
        "modelyard.model.name": "m-echo-int64",
        "modelyard.model.version": 1,
        "modelyard.rows": 1,
        "modelyard.cached": False,
    }
    assert said["traceparent"].split("-")[2] == f"{whole.context.span_id:016x}"
    for span in spans[:-1]:
        assert span.parent is not None
        assert span.parent.span_id == whole.context.span_id
        assert (whole.start_time or 0) <= (span.start_time or 0) <= (span.end_time or 0)
    assert str(VALUE) not in "".join(span.to_json() for span in spans)


async def test_a_request_that_waits_for_the_model(gateway: Traced) -> None:
    await asyncio.gather(*(ask(gateway, "looping", [10_000]) for _ in range(4)))
    spans = gateway.spans()
    wholes = {s.context.span_id: s for s in spans if s.parent is None}
    assert len(wholes) == 4
    for name in ("queue", "inference"):
        parts = [span for span in spans if span.name == name]
        assert {s.parent.span_id for s in parts if s.parent is not None} == set(wholes)
    first = next(span for span in spans if span.name == "inference")
    assert dict(first.attributes or {})["modelyard.batch.rows"] in (1, 2, 3, 4)


async def test_a_hit_of_the_cache_has_no_inference(gateway: Traced) -> None:
    for _ in range(2):
        await ask(gateway, "echo-fp32", [1])
    spans = gateway.spans()
    assert sum(span.name == "inference" for span in spans) == 1
    cached = [dict(s.attributes or {})["modelyard.cached"] for s in spans if s.parent is None]
    assert cached == [False, True]


async def test_a_failed_request_is_traced_and_logged_with_its_trace(
    gateway: Traced, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def burst(*_: object) -> None:
        raise RuntimeError("burst")

    monkeypatch.setattr(gateway.service, "infer", burst)
    with caplog.at_level(logging.ERROR):
        said = await ask(gateway, "echo-int64", [1])
    assert said["status"] == "500"
    (record,) = [each for each in caplog.records if each.name.endswith("exchange")]
    (whole,) = [span for span in gateway.spans() if span.parent is None]
    assert vars(record)["trace_id"] == f"{whole.context.trace_id:032x}"
    assert dict(whole.attributes or {})["error.type"] == "500"


@pytest.mark.parametrize(
    ("model", "headers", "status"),
    [
        ("nothing", {}, 404),
        ("echo-int64", {"x-request-timeout-ms": "0"}, 400),
        ("echo-int64", {"content-encoding": "gzip"}, 400),
    ],
)
async def test_what_is_refused_is_traced_too(
    gateway: Traced, model: str, headers: dict[str, str], status: int
) -> None:
    path = f"/v2/models/{model}/infer"
    answer = await call(gateway.front, "POST", path, b"x", headers, key=KEY)
    assert answer.status == status
    assert "traceparent" in answer.headers
    (span,) = [span for span in gateway.spans() if span.parent is None]
    assert dict(span.attributes or {})["http.response.status_code"] == status


async def test_a_stranger_leaves_no_trace(gateway: Traced) -> None:
    path = "/v2/models/echo-int64/infer"
    answer = await call(gateway.front, "POST", path, b"x", key="my_stranger")
    assert answer.status == 401
    assert "traceparent" not in answer.headers
    assert not gateway.spans()


async def test_a_client_that_goes_ends_its_trace(gateway: Traced) -> None:
    given = b'{"inputs":[{"name":"times","shape":[1],"datatype":"INT64","data":[1099511627776]}]}'
    request = HttpRequest("POST", "/v2/models/looping/infer", {}, given)
    told: list[HttpResponse] = []
    exchange = gateway.inference.answer(request, Grant("key_1", TENANT, Scope.INFER), told.append)
    assert exchange is not None
    exchange.abandon()
    await asyncio.to_thread(wait_until, gateway.events)
    (span,) = [span for span in gateway.spans() if span.parent is None]
    assert dict(span.attributes or {})["modelyard.rows"] == 0
    assert not told
