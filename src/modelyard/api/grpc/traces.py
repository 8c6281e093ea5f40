"""What a trace says of an inference request over gRPC, by OpenTelemetry's conventions."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message

from modelyard.api.grpc.statuses import code_of
from modelyard.core.errors import ModelyardError
from modelyard.serving.tracing import Trace, Tracer


def begin_trace(tracer: Tracer, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Trace:
    """The trace of one request: of a call, or of one message of a stream."""
    name = f"inference.GRPCInferenceService/{method}"
    headers: dict[bytes, bytes] = {}
    for field, value in metadata:
        if isinstance(value, str):
            headers.setdefault(field.encode(), value.encode())
    return tracer.begin(name, headers, {"rpc.system.name": "grpc", "rpc.method": name})


def tell_trace(trace: Trace, answer: Message | ModelyardError) -> None:
    """Tell the trace how the request was answered."""
    code = code_of(answer).name if isinstance(answer, ModelyardError) else "OK"
    trace.note({"rpc.response.status_code": code})
