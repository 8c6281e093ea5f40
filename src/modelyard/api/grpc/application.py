"""The whole of the gRPC edge, built around one inference service."""

from __future__ import annotations

from modelyard.api.authentication import Gate
from modelyard.api.capacity import Capacity
from modelyard.api.grpc.calls import InferenceCalls
from modelyard.api.grpc.descriptions import Descriptions
from modelyard.api.grpc.server import GrpcServer
from modelyard.api.grpc.service import GrpcService
from modelyard.api.inference.extensions import Extensions
from modelyard.serving.service import InferenceService
from modelyard.serving.tracing import Tracer


def make_grpc_server(
    plane: InferenceService,
    extensions: Extensions,
    capacity: Capacity,
    *,
    server_version: str,
    max_request_bytes: int,
    tracer: Tracer | None = None,
    gate: Gate | None = None,
) -> GrpcServer:
    """A server that is not started yet."""
    calls = InferenceCalls(plane, capacity, max_request_bytes=max_request_bytes, tracer=tracer)
    descriptions = Descriptions(plane, extensions, server_version=server_version)
    service = GrpcService(gate or Gate(plane), calls, descriptions)
    return GrpcServer(service, calls, max_request_bytes=max_request_bytes)
