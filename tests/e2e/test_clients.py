"""Clients of the standard protocols, as their makers publish them, against a real server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from modelyard_client import Client
from tests.e2e import graphs
from tests.e2e.calls import serve
from tests.e2e.conftest import Server

KSERVE_PYTHON = Path(__file__).parents[2] / ".venv-clients" / "bin" / "python"


@pytest.fixture(scope="module")
def key(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One that may infer, once the models are served."""
    folder = tmp_path_factory.mktemp("graphs")
    with Client(server.url, server.admin_key) as client:
        serve(client, "numbers", graphs.scaled(folder / "scaled.onnx", 10))
        serve(client, "words", graphs.echoed(folder / "echoed.onnx"))
        serve(client, "mixed", graphs.mixed(folder / "mixed.onnx"))
        return client.keys.create("clients").key


class Triton:
    """The client, with the key in each call's headers as its API asks for it."""

    def __init__(self, url: str, key: str) -> None:
        self.client = triton.InferenceServerClient(url.removeprefix("http://"))
        self.headers = {"Authorization": f"Bearer {key}"}

    def infer(self, model: str, outputs: list[str], **inputs: tuple[str, Any]) -> Any:
        given = []
        for name, (datatype, values) in inputs.items():
            tensor = triton.InferInput(name, list(values.shape), datatype)
            tensor.set_data_from_numpy(values, binary_data=False)
            given.append(tensor)
        wanted = [triton.InferRequestedOutput(name, binary_data=False) for name in outputs]
        return self.client.infer(
            model, given, outputs=wanted, request_id="seven", headers=self.headers
        )


@pytest.fixture
def tritons(server: Server, key: str) -> Iterator[Triton]:
    tritons = Triton(server.url, key)
    yield tritons
    tritons.client.close()


def test_triton_sees_server_and_models(tritons: Triton) -> None:
    client, headers = tritons.client, tritons.headers
    assert client.is_server_live(headers=headers)
    assert client.is_server_ready(headers=headers)
    assert client.is_model_ready("numbers", headers=headers)
    assert client.is_model_ready("numbers", "1", headers=headers)
    assert not client.is_model_ready("nothing", headers=headers)
    assert not client.is_server_live()
    assert client.get_server_metadata(headers=headers)["name"] == "modelyard"
    metadata = client.get_model_metadata("mixed", headers=headers)
    assert metadata["name"] == "mixed"
    assert metadata["versions"] == ["1"]
    assert [(each["name"], each["datatype"], each["shape"]) for each in metadata["inputs"]] == [
        ("size", "FP32", [-1]),
        ("place", "BYTES", [-1]),
    ]


def test_triton_infers_numbers_strings_and_both(tritons: Triton) -> None:
    x = np.array([[1, 2], [3, 4.5]], np.float32)
    answer = tritons.infer("numbers", ["y"], x=("FP32", x))
    assert np.array_equal(answer.as_numpy("y"), 10 * x)
    assert answer.as_numpy("y").dtype == np.float32
    response = answer.get_response()
    assert (response["id"], response["model_version"]) == ("seven", "1")
    words = np.array(["one", "zwölf", ""], np.object_)
    said = tritons.infer("words", ["said"], text=("BYTES", words)).as_numpy("said")
    assert [each.decode() if isinstance(each, bytes) else each for each in said] == list(words)
    sizes, places = np.array([1, 2], np.float32), np.array(["a", "b"], np.object_)
    both = tritons.infer("mixed", [], size=("FP32", sizes), place=("BYTES", places))
    assert both.as_numpy("doubled").tolist() == [2, 4]
    where = tritons.infer("mixed", ["where"], size=("FP32", sizes), place=("BYTES", places))
    assert where.as_numpy("doubled") is None
    assert len(where.as_numpy("where")) == 2


def test_triton_is_told_what_is_wrong(tritons: Triton) -> None:
    x = np.ones((2, 2), np.float32)
    with pytest.raises(InferenceServerException, match="there is no deployment 'nothing'"):
        tritons.infer("nothing", ["y"], x=("FP32", x))
    with pytest.raises(InferenceServerException, match="'x' has datatype FP64, expected FP32"):
        tritons.infer("numbers", ["y"], x=("FP64", x.astype(np.float64)))
    with pytest.raises(InferenceServerException, match=r"'x'.*shape"):
        tritons.infer("numbers", ["y"], x=("FP32", np.ones((2, 3), np.float32)))
    with pytest.raises(InferenceServerException, match="output 'z' is unknown"):
        tritons.infer("numbers", ["z"], x=("FP32", x))
    tritons.headers = {"Authorization": "Bearer my_wrong"}
    with pytest.raises(InferenceServerException, match="this key is not valid"):
        tritons.infer("numbers", ["y"], x=("FP32", x))


def test_kserve_speaks_v1_and_v2(server: Server, key: str) -> None:
    if not KSERVE_PYTHON.exists():
        reason = "the KServe client is not installed (make clients): its test is LEFT OUT"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    script = Path(__file__).with_name("kserve_calls.py")
    ended = subprocess.run(
        [str(KSERVE_PYTHON), str(script), server.url, key],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    came = json.loads(ended.stdout)
    v1, v2 = came["v1"], came["v2"]
    assert (v1["live"], v1["ready"]) == (True, True)
    assert v1["unknown"]["refused"] == 404
    assert v1["numbers"] == {"predictions": [[10, 20], [30, 40]]}
    assert v1["mixed"] == {"predictions": [{"doubled": 3.0, "where": "hill"}]}
    assert v1["wrong"]["refused"] == 400
    assert v1["no_key"]["refused"] == 401
    assert (v2["live"], v2["server_ready"], v2["ready"], v2["unknown"]) == (True, True, True, False)
    assert (v2["numbers"]["id"], v2["numbers"]["model"]) == ("r-1", "numbers")
    assert v2["numbers"]["outputs"] == {"y": [[2, 2], [10, 20, 30, 40]]}
    assert v2["words"]["outputs"] == {"said": [[2], ["a", "ü"]]}
    assert v2["mixed"]["outputs"] == {"doubled": [[1], [3.0]], "where": [[1], ["hill"]]}
    assert v2["wrong"]["refused"] == 400
    assert "3" in v2["wrong"]["message"]
