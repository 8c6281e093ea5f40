"""Triton's client for HTTP, as NVIDIA publishes it, against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.e2e.conftest import Server
from tests.e2e.graphs import TYPES

NUMPY = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}


class Triton:
    """The client, with the key in each call's headers as its API asks for it."""

    def __init__(self, url: str, key: str) -> None:
        self.client = triton.InferenceServerClient(url.removeprefix("http://"), concurrency=4)
        self.headers = {"Authorization": f"Bearer {key}"}

    # The client adds to the headers it is given, and would send them again.
    def infer(self, model: str, inputs: list[Any], outputs: Any = None, **more: Any) -> Any:
        return self.client.infer(model, inputs, outputs=outputs, headers=dict(self.headers), **more)


@pytest.fixture
def tritons(server: Server, clients_key: str) -> Iterator[Triton]:
    tritons = Triton(server.url, clients_key)
    yield tritons
    tritons.client.close()


def given(name: str, datatype: str, values: Any, *, binary: bool = True) -> Any:
    tensor = triton.InferInput(name, list(values.shape), datatype)
    return tensor.set_data_from_numpy(values, binary_data=binary)


def wanted(name: str, *, binary: bool = True) -> Any:
    return triton.InferRequestedOutput(name, binary_data=binary)


def values_of(datatype: str) -> Any:
    """The least and the greatest, or what stands for them."""
    if datatype == "BYTES":
        return np.array([["", "zwölf"], ["a\x00b", "😀" * 99]], np.object_)
    kind = NUMPY[datatype]
    if datatype == "BOOL":
        return np.array([[True, False]], kind)
    limits = np.iinfo(kind) if np.issubdtype(kind, np.integer) else np.finfo(kind)
    return np.array([[limits.min, limits.max], [0, 1]], kind)


def texts(tensor: Any) -> list[Any]:
    return [
        each.decode() if isinstance(each, bytes) else each for each in tensor.reshape(-1).tolist()
    ]


def same(datatype: str, came: Any, sent: Any) -> bool:
    if datatype == "BYTES":
        return came.shape == sent.shape and texts(came) == texts(sent)
    return bool(came.dtype == sent.dtype and np.array_equal(came, sent))


def test_it_sees_the_server_and_its_models(tritons: Triton) -> None:
    client, headers = tritons.client, tritons.headers
    assert client.is_server_live(headers=headers)
    assert client.is_server_ready(headers=headers)
    assert client.is_model_ready("numbers", headers=headers)
    assert client.is_model_ready("numbers", "1", headers=headers)
    assert not client.is_model_ready("numbers", "2", headers=headers)
    assert not client.is_model_ready("nothing", headers=headers)
    assert not client.is_server_live()
    assert client.get_server_metadata(headers=headers)["name"] == "modelyard"
    metadata = client.get_model_metadata("mixed", headers=headers)
    assert metadata == client.get_model_metadata("mixed", "1", headers=headers)
    assert (metadata["name"], metadata["versions"]) == ("mixed", ["1"])
    assert [(each["name"], each["datatype"], each["shape"]) for each in metadata["inputs"]] == [
        ("size", "FP32", [-1]),
        ("place", "BYTES", [-1]),
    ]


@pytest.mark.parametrize("answers", [True, False], ids=["to binary", "to JSON"])
@pytest.mark.parametrize("asks", [True, False], ids=["binary", "JSON"])
def test_every_datatype_comes_back_as_it_went(
    tritons: Triton, *, asks: bool, answers: bool
) -> None:
    # FP16 has no form in JSON.
    tensors = {each: values_of(each)[:1] for each in TYPES}
    inputs = [
        given(each.lower(), each, sent, binary=asks or each == "FP16")
        for each, sent in tensors.items()
    ]
    names = {each: f"{each.lower()}_again" for each in TYPES}
    outputs = [wanted(name, binary=answers or each == "FP16") for each, name in names.items()]
    answer = tritons.infer("types", inputs, outputs)
    for each, sent in tensors.items():
        assert same(each, answer.as_numpy(names[each]), sent), each


def test_json_and_binary_tensors_mix(tritons: Triton) -> None:
    sizes, places = np.array([1, 2.5], np.float32), np.array(["hill", "ü"], np.object_)
    for first in (True, False):
        inputs = [
            given("size", "FP32", sizes, binary=first),
            given("place", "BYTES", places, binary=not first),
        ]
        outputs = [wanted("where", binary=first), wanted("doubled", binary=not first)]
        answer = tritons.infer("mixed", inputs, outputs)
        assert answer.as_numpy("doubled").tolist() == [2, 5]
        assert texts(answer.as_numpy("where")) == ["hill", "ü"]
        named = [each["name"] for each in answer.get_response()["outputs"]]
        assert named == ["where", "doubled"]
    inputs = [given("size", "FP32", sizes), given("place", "BYTES", places)]
    plain = tritons.infer("mixed", inputs)
    assert plain.as_numpy("doubled").tolist() == [2, 5]


def test_one_output_of_two_is_asked_for(tritons: Triton) -> None:
    inputs = [
        given("size", "FP32", np.ones(1, np.float32)),
        given("place", "BYTES", np.array(["a"], np.object_)),
    ]
    answer = tritons.infer("mixed", inputs, [wanted("where")])
    assert answer.as_numpy("doubled") is None
    assert texts(answer.as_numpy("where")) == ["a"]
    with pytest.raises(InferenceServerException, match="output 'where' is asked for twice"):
        tritons.infer("mixed", inputs, [wanted("where"), wanted("where", binary=False)])
    with pytest.raises(InferenceServerException, match="output 'z' is unknown"):
        tritons.infer("mixed", inputs, [wanted("z")])


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bodies_are_packed_both_ways(tritons: Triton, coding: str, *, binary: bool) -> None:
    x = np.arange(8000, dtype=np.float32).reshape(-1, 2)
    answer = tritons.infer(
        "numbers",
        [given("x", "FP32", x, binary=binary)],
        [wanted("y", binary=binary)],
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    assert np.array_equal(answer.as_numpy("y"), 10 * x)


def test_ids_and_versions(tritons: Triton) -> None:
    x = given("x", "FP32", np.ones((1, 2), np.float32))
    told = tritons.infer("numbers", [x], request_id="sieben").get_response()
    assert (told["id"], told["model_name"], told["model_version"]) == ("sieben", "numbers", "1")
    assert "id" not in tritons.infer("numbers", [x], model_version="1").get_response()
    with pytest.raises(InferenceServerException, match="serves version 1, not '2'"):
        tritons.infer("numbers", [x], model_version="2")


def test_calls_run_side_by_side(tritons: Triton) -> None:
    rows = [np.full((1, 2), at, np.float32) for at in range(40)]
    calls = [
        tritons.client.async_infer(
            "numbers", [given("x", "FP32", row)], headers=dict(tritons.headers)
        )
        for row in rows
    ]
    for row, call in zip(rows, calls, strict=True):
        assert np.array_equal(call.get_result(timeout=30).as_numpy("y"), 10 * row)


def test_bodies_that_the_client_makes_itself(tritons: Triton) -> None:
    """What perf tools do: the request made beforehand, the answer read afterwards."""
    client = triton.InferenceServerClient
    x = np.ones((3, 2), np.float32)
    body, size = client.generate_request_body([given("x", "FP32", x)], outputs=[wanted("y")])
    headers = {**tritons.headers, "Inference-Header-Content-Length": str(size)}
    answer = tritons.client._post("v2/models/numbers/infer", body, headers, None)
    assert answer.status_code == 200
    length = int(answer["inference-header-content-length"])
    read = client.parse_response_body(answer.read(), header_length=length)
    assert np.array_equal(read.as_numpy("y"), 10 * x)


def test_what_is_wrong_is_told(tritons: Triton) -> None:
    ones = np.ones((2, 2), np.float32)
    x = given("x", "FP32", ones)
    with pytest.raises(InferenceServerException, match="there is no deployment 'nothing'") as told:
        tritons.infer("nothing", [x])
    assert told.value.status() == "404"
    with pytest.raises(
        InferenceServerException, match="'x' has datatype FP64, expected FP32"
    ) as told:
        tritons.infer("numbers", [given("x", "FP64", ones.astype(np.float64))])
    assert told.value.status() == "400"
    with pytest.raises(InferenceServerException, match=r"'x'.*shape"):
        tritons.infer("numbers", [given("x", "FP32", np.ones((2, 3), np.float32))])
    with pytest.raises(InferenceServerException, match="input 'x' is missing"):
        tritons.infer("numbers", [])
    turns = given("turns", "INT64", np.array([50_000], np.int64))
    with pytest.raises(InferenceServerException, match="time was over"):
        tritons.infer("turns", [turns], timeout=100_000)
    tritons.headers = {"Authorization": "Bearer my_wrong"}
    with pytest.raises(InferenceServerException, match="this key is not valid") as told:
        tritons.infer("numbers", [x])
    assert told.value.status() == "401"


def test_shared_memory_is_refused(tritons: Triton) -> None:
    client, headers = tritons.client, tritons.headers
    assert client.get_system_shared_memory_status(headers=headers) == []
    assert client.get_cuda_shared_memory_status(headers=headers) == []
    with pytest.raises(InferenceServerException, match="not served") as told:
        client.register_system_shared_memory("mine", "/mine", 64, headers=headers)
    assert told.value.status() == "400"
    with pytest.raises(InferenceServerException, match="not served"):
        client.register_cuda_shared_memory("mine", b"aGFuZGxl", 0, 64, headers=headers)
    with pytest.raises(InferenceServerException, match="no shared memory region 'mine'"):
        client.get_system_shared_memory_status("mine", headers=headers)
    client.unregister_system_shared_memory(headers=headers)
    client.unregister_cuda_shared_memory("mine", headers=headers)
    named = triton.InferInput("x", [1, 2], "FP32")
    named.set_shared_memory("mine", 8)
    with pytest.raises(InferenceServerException, match="'x': shared memory is not served"):
        tritons.infer("numbers", [named])
    output = wanted("y")
    output.set_shared_memory("mine", 8)
    with pytest.raises(InferenceServerException, match="'y': shared memory is not served"):
        tritons.infer("numbers", [given("x", "FP32", np.ones((1, 2), np.float32))], [output])


def test_classification_is_refused_and_not_passed_over(tritons: Triton) -> None:
    x = given("x", "FP32", np.ones((1, 2), np.float32))
    with pytest.raises(InferenceServerException, match="classification extension is not served"):
        tritons.infer("numbers", [x], [triton.InferRequestedOutput("y", class_count=1)])


def test_the_repository_is_shown_and_not_changed(tritons: Triton) -> None:
    client, headers = tritons.client, tritons.headers
    index = client.get_model_repository_index(headers=headers)
    states = {each["name"]: (each["version"], each["state"]) for each in index}
    assert states["numbers"] == ("1", "READY")
    client.load_model("numbers", headers=headers)
    with pytest.raises(InferenceServerException, match="no deployment 'nothing'") as told:
        client.load_model("nothing", headers=headers)
    assert told.value.status() == "404"
    with pytest.raises(InferenceServerException, match="as it was deployed") as told:
        client.load_model("numbers", config="{}", headers=headers)
    assert told.value.status() == "400"
    with pytest.raises(InferenceServerException, match="management API") as told:
        client.unload_model("numbers", headers=headers)
    assert told.value.status() == "400"
    with pytest.raises(InferenceServerException, match="no deployment 'nothing'"):
        client.unload_model("nothing", headers=headers)
    assert client.is_model_ready("numbers", headers=headers)


def test_configuration_of_a_model(tritons: Triton) -> None:
    config = tritons.client.get_model_config("mixed", "1", headers=tritons.headers)
    assert (config["name"], config["platform"]) == ("mixed", "onnxruntime_onnx")
    batch = [-1] if config["max_batch_size"] == 0 else []
    assert config["input"] == [
        {"name": "size", "data_type": "TYPE_FP32", "dims": batch},
        {"name": "place", "data_type": "TYPE_STRING", "dims": batch},
    ]


def test_statistics_count_requests(tritons: Triton) -> None:
    def counted() -> tuple[int, int, int]:
        told = tritons.client.get_inference_statistics("words", headers=tritons.headers)
        (model,) = told["model_stats"]
        stats = model["inference_stats"]
        return stats["success"]["count"], stats["fail"]["count"], model["inference_count"]

    before = counted()
    words = np.array(["a", "b", "c"], np.object_)
    tritons.infer("words", [given("text", "BYTES", words)])
    with pytest.raises(InferenceServerException):
        tritons.infer("words", [given("text", "BYTES", words)], [wanted("z")])
    after = counted()
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 3]
    every = tritons.client.get_inference_statistics(headers=tritons.headers)["model_stats"]
    assert {"numbers", "words"} <= {model["name"] for model in every}


def test_settings_are_read_and_not_changed(tritons: Triton) -> None:
    client, headers = tritons.client, tritons.headers
    traces = client.get_trace_settings(headers=headers)
    assert traces["trace_level"] == ["OFF"]
    assert client.get_trace_settings("numbers", headers=headers) == traces
    assert client.update_trace_settings(settings={"trace_rate": None}, headers=headers) == traces
    with pytest.raises(InferenceServerException, match="trace_level"):
        client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}, headers=headers)
    logs = client.get_log_settings(headers=headers)
    assert client.update_log_settings({"log_info": logs["log_info"]}, headers=headers) == logs
    with pytest.raises(InferenceServerException, match="log_file"):
        client.update_log_settings({"log_file": "elsewhere.log"}, headers=headers)
