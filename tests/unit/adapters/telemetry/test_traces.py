"""Spans as OpenTelemetry's SDK makes them of what the data plane tells."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from modelyard.adapters.telemetry import collector, traces
from modelyard.adapters.telemetry.collector import collector_named
from modelyard.adapters.telemetry.traces import OtelTracer, span_exporter
from modelyard.core.errors import Invalid, NotInstalled
from modelyard.core.settings import Settings, resolve

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


def tracer_of(exporter: SpanExporter, **settings: Any) -> OtelTracer:
    return OtelTracer(Settings(**settings), exporter, version="1.2.3", instance="gwy_1")


def spans_of(exporter: InMemorySpanExporter, tracer: OtelTracer) -> dict[str, ReadableSpan]:
    tracer.close()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_and_its_parts_become_spans() -> None:
    exporter = InMemorySpanExporter()
    tracer = tracer_of(exporter)
    before, at = time.time_ns(), time.monotonic()
    trace = tracer.begin("POST /here", {}, {"http.request.method": "POST"})
    trace.part("inference", at, at + 0.5, {"rows": 3})
    trace.note({"more": True})
    trace.end(200)
    spans = spans_of(exporter, tracer)
    whole, part = spans["POST /here"], spans["inference"]
    assert (whole.kind, whole.parent) == (SpanKind.SERVER, None)
    assert dict(whole.attributes or {}) == {"http.request.method": "POST", "more": True}
    assert whole.resource.attributes["service.name"] == "modelyard"
    assert whole.resource.attributes["service.version"] == "1.2.3"
    assert part.parent is not None
    assert part.parent.span_id == whole.context.span_id
    assert part.start_time is not None
    assert part.end_time is not None
    assert part.end_time - part.start_time == pytest.approx(0.5e9, abs=1000)
    assert part.start_time == pytest.approx(before, abs=50e6)
    assert trace.parent == f"00-{trace.id}-{whole.context.span_id:016x}-03"


@pytest.mark.parametrize(("flags", "recorded"), [("01", True), ("00", False)])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_caller_has_decided_whether_its_trace_is_recorded(
    flags: str, recorded: bool, ratio: float
) -> None:
    exporter = InMemorySpanExporter()
    tracer = tracer_of(exporter, trace_ratio=ratio)
    headers = {b"traceparent": f"00-{TRACE}-{CALLER}-{flags}".encode(), b"tracestate": b"a=1,b=2"}
    trace = tracer.begin("POST /here", headers, {})
    trace.part("queue", 0.0, 1.0, {})
    trace.end(200)
    assert trace.id == TRACE
    assert trace.parent.startswith(f"00-{TRACE}-")
    assert trace.parent.endswith(f"-{flags}")
    spans = spans_of(exporter, tracer)
    assert bool(spans) is recorded
    if recorded:
        whole = spans["POST /here"]
        assert whole.parent is not None
        assert f"{whole.parent.span_id:016x}" == CALLER
        assert whole.context.trace_state.to_header() == "a=1,b=2"


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"nonsense",
        f"00-{TRACE}-{CALLER}".encode(),
        f"ff-{TRACE}-{CALLER}-01".encode(),
        f"00-{'0' * 32}-{CALLER}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        b"00-" + b"a" * 30_000,
        b"\xff\xfe\x00",
    ],
)
def test_a_traceparent_that_is_none_begins_a_new_trace(
    given: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = InMemorySpanExporter()
    tracer = tracer_of(exporter)
    trace = tracer.begin("POST /here", {b"traceparent": given, b"tracestate": b"=,my_secret"}, {})
    trace.end(200)
    assert trace.id not in (TRACE, "0" * 32)
    assert spans_of(exporter, tracer)["POST /here"].parent is None
    assert not caplog.records


def test_a_ratio_of_nothing_records_nothing() -> None:
    exporter = InMemorySpanExporter()
    tracer = tracer_of(exporter, trace_ratio=0.0)
    tracer.begin("POST /here", {}, {}).end(500)
    assert not spans_of(exporter, tracer)


@pytest.mark.parametrize(
    ("status", "code"), [(200, StatusCode.UNSET), (404, StatusCode.UNSET), (503, StatusCode.ERROR)]
)
def test_only_what_is_the_servers_fault_is_an_error(status: int, code: StatusCode) -> None:
    exporter = InMemorySpanExporter()
    tracer = tracer_of(exporter)
    tracer.begin("POST /here", {}, {}).end(status)
    span = spans_of(exporter, tracer)["POST /here"]
    assert span.status.status_code is code
    assert ("error.type" in (span.attributes or {})) is (code is StatusCode.ERROR)


class Stuck(SpanExporter):
    """A collector that takes and never answers."""

    def __init__(self) -> None:
        self.freed = threading.Event()
        self.reached = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.reached.set()
        self.freed.wait()
        return SpanExportResult.FAILURE


def test_a_collector_that_hangs_holds_up_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "STOP_SECONDS", 0.1)
    monkeypatch.setattr(traces, "MAX_QUEUE", 600)
    stuck = Stuck()
    tracer = tracer_of(stuck)
    with caplog.at_level(logging.WARNING):
        for _ in range(1500):
            tracer.begin("POST /here", {}, {}).end(200)
        assert stuck.reached.wait(10)
        for _ in range(601):
            tracer.begin("POST /here", {}, {}).end(200)
    assert "dropping" in caplog.text
    tracer.close()
    stuck.freed.set()


def test_who_names_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Settings(otlp_endpoint="http://127.0.0.1:4318")
    standard = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert not collector_named(Settings(), {})
    assert collector_named(ours, {})
    assert collector_named(Settings(), standard)
    assert collector_named(Settings(), {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1"})
    assert not collector_named(ours, {"OTEL_SDK_DISABLED": "true"})
    monkeypatch.setattr(collector, "_installed", lambda: False)
    assert not collector_named(Settings(), standard)
    with pytest.raises(NotInstalled, match=r"modelyard\[otel\]"):
        collector_named(ours, {})


def test_bad_settings_are_refused_and_not_shown() -> None:
    with pytest.raises(Invalid, match="otlp_endpoint"):
        resolve({}, {"MODELYARD_OTLP_ENDPOINT": "collector:4317"})
    with pytest.raises(Invalid, match="otlp_headers") as told:
        resolve({}, {"MODELYARD_OTLP_HEADERS": "s3cret"})
    assert "s3cret" not in str(told.value)


def test_the_collector_is_the_settings_or_the_standard_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1/base")
    ours = Settings(otlp_endpoint="http://127.0.0.1:2/")
    assert vars(span_exporter(ours))["_endpoint"] == "http://127.0.0.1:2/v1/traces"
    assert vars(span_exporter(Settings()))["_endpoint"] == "http://127.0.0.1:1/base/v1/traces"
