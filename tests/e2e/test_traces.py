"""Traces of a real server, taken by a real collector over OTLP/HTTP."""

from __future__ import annotations

import socket
from pathlib import Path

import grpc

from modelyard.api.grpc.generated import inference_pb2 as messages
from modelyard.api.grpc.service import SERVICE
from modelyard_client import Client
from tests.e2e import graphs
from tests.e2e.calls import Caller, serve
from tests.e2e.collecting import Collector
from tests.e2e.conftest import Server, start_server, stop_server

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{CALLER}-01"
SECRET = "token-of-the-collector"
CANARY = 7654321.0


def ask_by_grpc(server: Server) -> dict[str, str]:
    request = messages.ModelInferRequest(model_name="numbers")
    given = request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    given.contents.fp32_contents.extend([CANARY, 2])
    key = (("authorization", f"Bearer {server.admin_key}"), ("traceparent", PARENT))
    with grpc.insecure_channel(server.grpc_url) as channel:
        calls: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        calls = channel.unary_unary(SERVICE + "ModelInfer")
        _, call = calls.with_call(request.SerializeToString(), metadata=key, timeout=30)
        return {name: str(value) for name, value in call.trailing_metadata() or ()}


def test_requests_of_every_protocol_reach_the_collector(tmp_path: Path) -> None:
    with Collector() as collector:
        server = start_server(
            tmp_path / "home",
            "--workers",
            "1",
            MODELYARD_OTLP_ENDPOINT=collector.url,
            MODELYARD_OTLP_HEADERS=f"authorization=Bearer {SECRET}",
            MODELYARD_SERVICE_NAME="models",
            MODELYARD_TRACE_RATIO="0",
            OTEL_BSP_SCHEDULE_DELAY="50",
        )
        with (
            Client(server.url, server.admin_key) as client,
            Caller(server.url, server.admin_key) as call,
        ):
            serve(client, "numbers", graphs.scaled(tmp_path / "scaled.onnx", 2))
            parent = {"traceparent": PARENT}
            tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [CANARY, 2]}
            v2 = call("POST", "/v2/models/numbers/infer", {"inputs": [tensor]}, headers=parent)
            v1 = call("POST", "/v1/models/numbers:predict", {"instances": [[1, 2]]}, headers=parent)
            managed = call("GET", "/api/v1/models/numbers", headers=parent)
            # By then the connection is uvicorn's.
            late = call("POST", "/v2/models/numbers/infer", {"inputs": [tensor]}, headers=parent)
        said = ask_by_grpc(server)
        for answer in (v2, v1, managed, late):
            assert answer.status == 200
            assert answer.headers["traceparent"].startswith(f"00-{TRACE}-")
        assert said["traceparent"].startswith(f"00-{TRACE}-")
        # What has not been sent yet is sent at the end.
        assert stop_server(server.process) == 0
        spans = collector.spans()
        raw, headers = b"".join(collector.raw), collector.headers
    roots = {span.span_id: span for span in spans if span.parent_id == CALLER}
    assert sorted(span.name for span in roots.values()) == [
        "GET /api/v1/models/{model}",
        "POST /v1/models/{model}:predict",
        "POST /v2/models/{model}/infer",
        "POST /v2/models/{model}/infer",
        "inference.GRPCInferenceService/ModelInfer",
    ]
    # What nobody asked to trace is not.
    assert {span.trace_id for span in spans} == {TRACE}
    by_id = {span.attributes.get("modelyard.request.id"): span for span in roots.values()}
    whole = by_id[v2.headers["x-request-id"]]
    assert whole.attributes["modelyard.deployment.name"] == "numbers"
    assert whole.attributes["http.response.status_code"] == 200
    assert whole.resource["service.name"] == "models"
    assert by_id[said["x-request-id"]].attributes["rpc.response.status_code"] == "OK"
    parts = {span.name: span for span in spans if span.parent_id == whole.span_id}
    assert {"decode", "inference", "encode"} <= set(parts)
    assert sum(part.seconds for part in parts.values()) <= whole.seconds
    # The collector is known by its header, and learns neither keys nor values.
    assert all(each["authorization"] == f"Bearer {SECRET}" for each in headers)
    log = (tmp_path / "home.log").read_text()
    assert SECRET not in log
    for secret in (server.admin_key, str(int(CANARY)), SECRET):
        assert secret.encode() not in raw


def test_a_server_whose_collector_is_away_serves_and_stops(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        server = start_server(tmp_path / "home", "--workers", "1", OTEL_EXPORTER_OTLP_ENDPOINT=url)
        with (
            Client(server.url, server.admin_key) as client,
            Caller(server.url, server.admin_key) as call,
        ):
            serve(client, "numbers", graphs.scaled(tmp_path / "scaled.onnx", 2))
            for _ in range(100):
                answer = call.infer("numbers", x=[[1, 2]])
                assert answer.status == 200
                assert answer.headers["traceparent"].endswith("-03")
        assert stop_server(server.process) == 0
