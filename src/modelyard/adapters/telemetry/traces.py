"""Traces by OpenTelemetry, sent to a collector over OTLP/HTTP.

Spans that are over go into a bounded queue, which a thread of the SDK's empties. While the
collector is away the oldest of them are dropped, and the log says so; no request waits for it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers

from modelyard.core.settings import Settings
from modelyard.serving.tracing import Attributes

MAX_QUEUE: Final = 8192
"""Spans that wait for the collector; the oldest makes room for the next."""

STOP_SECONDS: Final = 2.0
"""How long a process that stops waits for its last spans to be taken."""

_CONTEXT: Final = ("traceparent", "tracestate")
_TALKATIVE: Final = ("opentelemetry.trace.span", "opentelemetry.trace.propagation.tracecontext")
"""These quote what a client has sent in its headers."""


def span_exporter(settings: Settings) -> SpanExporter:
    """What sends spans to the collector that the settings or OpenTelemetry's variables name."""
    endpoint = settings.otlp_endpoint.rstrip("/")
    return OTLPSpanExporter(
        f"{endpoint}/v1/traces" if endpoint else None,
        headers=parse_env_headers(settings.otlp_headers, liberal=True),
    )


class OtelTracer:
    """The spans of one gateway, by OpenTelemetry's SDK; a `Tracer` of the data plane."""

    def __init__(
        self, settings: Settings, exporter: SpanExporter, *, version: str, instance: str
    ) -> None:
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.ERROR)
        name = settings.service_name or os.environ.get("OTEL_SERVICE_NAME") or "modelyard"
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.trace_ratio)),
            resource=Resource.create(
                {SERVICE_NAME: name, SERVICE_VERSION: version, SERVICE_INSTANCE_ID: instance}
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=MAX_QUEUE))
        self._tracer = self._provider.get_tracer("modelyard", version)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, headers: Mapping[bytes, bytes], attributes: Attributes) -> OtelTrace:
        """The span of a request that has come in."""
        # Without one of its own the SDK would look for a context that the thread is in.
        context = Context()
        if b"traceparent" in headers:
            carrier = {
                field: headers[field.encode()].decode("latin-1")
                for field in _CONTEXT
                if field.encode() in headers
            }
            context = self._propagator.extract(carrier, context)
        span = self._tracer.start_span(name, context, SpanKind.SERVER, attributes)
        return OtelTrace(self._tracer, span)

    def close(self) -> None:
        """Send what is left, for a moment; a collector that does not answer is not waited for."""
        sending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        sending.start()
        sending.join(STOP_SECONDS)


class OtelTrace:
    """One request's span and its parts."""

    __slots__ = ("_from_epoch", "_recording", "_span", "_tracer")

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._recording = span.is_recording()
        # What turns `time.monotonic` into nanoseconds since 1970.
        self._from_epoch = time.time_ns() - time.monotonic_ns()

    @property
    def id(self) -> str:
        """The trace's id."""
        return format_trace_id(self._span.get_span_context().trace_id)

    @property
    def parent(self) -> str:
        """W3C's `traceparent`, version 00."""
        context = self._span.get_span_context()
        trace_id, span_id = format_trace_id(context.trace_id), format_span_id(context.span_id)
        return f"00-{trace_id}-{span_id}-{context.trace_flags:02x}"

    def note(self, attributes: Attributes) -> None:
        """Say more about the request."""
        if self._recording:
            self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        """Give the span another name."""
        self._span.update_name(name)

    def part(self, name: str, began: float, ended: float, attributes: Attributes) -> None:
        """A child span, made when it is over already."""
        if not self._recording:
            return
        span = self._tracer.start_span(
            name, set_span_in_context(self._span), attributes=attributes, start_time=self._at(began)
        )
        span.end(self._at(ended))

    def end(self, status: int) -> None:
        """End the span. Only what is the server's fault is an error of the server's span."""
        if self._recording and status >= 500:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def _at(self, seconds: float) -> int:
        return round(seconds * 1e9) + self._from_epoch
