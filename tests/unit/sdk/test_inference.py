from __future__ import annotations

from modelyard_client import Client, Tensor, tensors
from modelyard_client.inference import ModelMetadata, TensorMetadata
from tests.unit.sdk.scripted_server import Answer, ScriptedServer

TABLE = TensorMetadata("features", "FP32", [-1, 2], {"columns": ["age", "income"]})
PLAN = TensorMetadata("plan", "BYTES", [-1])


def test_named_columns_stand_side_by_side() -> None:
    records = [{"income": 10, "age": 1}, {"age": 2}]
    made = tensors(ModelMetadata("m", [TABLE], []), records)
    assert made == [Tensor("features", [2, 2], "FP32", [1, 10, 2, None])]


def test_other_inputs_take_their_own_key() -> None:
    made = tensors(ModelMetadata("m", [PLAN], []), [{"plan": "basic"}, {}])
    assert made == [Tensor("plan", [2], "BYTES", ["basic", None])]


def test_tensors_go_out_and_come_back(server: ScriptedServer, client: Client) -> None:
    label = {"name": "label", "shape": [1], "datatype": "BYTES", "data": ["yes"]}
    server.answers = [Answer(200, {"model_name": "m", "model_version": "3", "outputs": [label]})]
    answer = client.infer("m", [Tensor("x", [1], "FP32", [1.5])], ["label"])
    assert answer.output("label").data == ["yes"]
    assert server.asked[0].path == "/v2/models/m/infer"
    assert server.asked[0].json() == {
        "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.5]}],
        "outputs": [{"name": "label"}],
    }


def test_readiness_is_a_yes_or_no(server: ScriptedServer, client: Client) -> None:
    server.answers = [Answer(200, {"ready": True}), Answer(404, {"error": "no"})]
    assert client.inference.ready("m")
    assert not client.inference.ready("m")
