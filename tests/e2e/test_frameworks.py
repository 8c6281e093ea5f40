"""Each framework's model, imported and served: V1, V2 and gRPC answer what it answers itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from modelyard.api.grpc.generated import inference_pb2 as messages
from modelyard.api.grpc.service import SERVICE
from modelyard.core.tensors import Tensor
from modelyard_client import Client
from tests.e2e.conftest import Server
from tests.e2e.foreign import FRAMEWORKS, ROWS

CONTENTS = {"INT64": "int64_contents", "FP32": "fp32_contents"}
ELEMENTS = {"INT64": np.int64, "FP32": np.float32}


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_model_answers_as_in_its_framework(
    framework: str, client: Client, server: Server, tmp_path: Path
) -> None:
    foreign = FRAMEWORKS[framework](tmp_path)
    sample = None
    if foreign.sampled:
        sample = tmp_path / "sample.json"
        sample.write_text(json.dumps(ROWS.tolist()))
    name = framework.replace("_", "-")
    version = client.models.import_model(name, foreign.path, sample=sample)
    assert version.parity is not None
    assert version.parity.agreed is foreign.converted, version.parity
    assert ("onnx" in [one.format for one in version.artifacts]) is foreign.converted
    if not foreign.converted:
        assert version.parity.reason
    client.deployments.put(name, name)
    client.deployments.wait_ready(name, 120)
    try:
        for rows in (ROWS[:1], ROWS):
            expected = {n: one[: len(rows)] for n, one in foreign.answers.items()}
            # Of a classifier, V1 gives the label alone.
            told = {"label": expected["label"]} if "label" in expected else expected
            assert_close(by_v1(client, name, rows, list(told)), told)
            assert_close(by_v2(client, name, foreign.input, rows), expected)
            assert_close(by_grpc(server, name, foreign.input, rows), expected)
    finally:
        client.deployments.delete(name)


def assert_close(answers: Mapping[str, Any], expected: Mapping[str, Tensor]) -> None:
    assert set(answers) == set(expected)
    for name, own in expected.items():
        np.testing.assert_allclose(np.array(answers[name]), own, rtol=1e-4, atol=1e-5)


def by_v1(client: Client, name: str, rows: Tensor, outputs: list[str]) -> dict[str, Any]:
    predictions = client.inference.predict(name, rows.tolist())
    if len(outputs) == 1:
        return {outputs[0]: list(predictions)}
    return {output: [one[output] for one in predictions] for output in outputs}


def by_v2(client: Client, name: str, takes: str, rows: Tensor) -> dict[str, Any]:
    given = {"name": takes, "shape": rows.shape, "datatype": "FP32", "data": rows.tolist()}
    answer = client.inference.infer(name, [given])
    return {one.name: np.reshape(one.data, one.shape) for one in answer.outputs}


def by_grpc(server: Server, name: str, takes: str, rows: Tensor) -> dict[str, Any]:
    request = messages.ModelInferRequest(model_name=name)
    given = request.inputs.add(name=takes, datatype="FP32", shape=rows.shape)
    given.contents.fp32_contents.extend(rows.ravel().tolist())
    key = (("authorization", f"Bearer {server.admin_key}"),)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(server.grpc_url, options=options) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            SERVICE + "ModelInfer"
        )
        said = call(request.SerializeToString(), metadata=key, timeout=60)
    answer = messages.ModelInferResponse.FromString(said)
    found = {}
    for place, output in enumerate(answer.outputs):
        if answer.raw_output_contents:
            raw = answer.raw_output_contents[place]
            values: Any = np.frombuffer(raw, ELEMENTS[output.datatype])
        else:
            values = getattr(output.contents, CONTENTS[output.datatype])
        found[output.name] = np.reshape(values, output.shape)
    return found
