"""A real network, asked with real pictures: by V1, V2 over REST and gRPC, and the command line."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from modelyard.api.grpc.generated import inference_pb2 as messages
from modelyard.api.grpc.service import SERVICE
from modelyard.core.elements import from_raw, to_raw
from modelyard.core.tensors import Datatype
from modelyard_client import Client
from modelyard_client.models import ModelVersion
from tests import real_models
from tests.e2e.calls import Caller
from tests.e2e.conftest import Server
from tests.image_classifiers import picture

NAME = "efficientnet"
SECONDS = 180.0
CATS = {"tabby, tabby cat", "tiger cat", "Egyptian cat"}
COFFEE = {"espresso", "cup"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network(server: Server) -> Iterator[ModelVersion]:
    with Client(server.url, server.admin_key, timeout=SECONDS) as client:
        version = client.models.import_model(NAME, real_models.image_network())
        client.deployments.put(NAME, NAME)
        client.deployments.wait_ready(NAME, SECONDS)
        yield version
        client.deployments.delete(NAME)


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return [real_models.picture(name).read_bytes() for name in ("chelsea.png", "coffee.png")]


def test_its_card_says_what_it_is_for(network: ModelVersion) -> None:
    assert network.card.task == "image-classification"
    assert network.card.description.startswith("Tells 1000 labels apart: tench, Tinca tinca; ")
    assert network.card.description.endswith(
        "Pictures are resized to a shorter side of 256 (bicubic) and cropped to 224 x 224, RGB."
    )
    assert [artifact.format for artifact in network.artifacts] == ["image_classifier"]
    assert network.signature is not None
    assert network.signature.inputs[0].binary


@pytest.mark.usefixtures("network")
def test_pictures_are_recognised_by_v1(client: Client, pictures: list[bytes]) -> None:
    records = [{"image": {"b64": base64.b64encode(each).decode()}} for each in pictures]
    for instances in (
        records,
        [each["image"] for each in records],
        [{"image": p} for p in pictures],
    ):
        cat, coffee = client.predict(NAME, instances)
        check(cat, coffee)


@pytest.mark.usefixtures("network")
def test_pictures_are_recognised_by_v2(
    client: Client, server: Server, pictures: list[bytes]
) -> None:
    files = np.array(pictures, dtype=np.object_)
    raw = to_raw(files)
    given: dict[str, Any] = {"name": "image", "shape": [2], "datatype": "BYTES"}
    size = {"parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [{**given, **size}]}).encode()
    with Caller(server.url, server.admin_key) as call:
        sent = {"inference-header-content-length": str(len(head))}
        binary = call("POST", f"/v2/models/{NAME}/infer", head + raw, headers=sent).json()
        told = call("GET", f"/v2/models/{NAME}").json()
    texts = [base64.b64encode(each).decode() for each in pictures]
    as_json = client.inference.infer(NAME, [{**given, "data": texts}])

    found = {one["name"]: np.reshape(one["data"], one["shape"]) for one in binary["outputs"]}
    check(*({name: found[name][at].tolist() for name in found} for at in (0, 1)))
    for one in as_json.outputs:
        same = np.reshape(one.data, one.shape)
        assert np.array_equal(same, found[one.name]), one.name
    assert told["inputs"] == [
        {"name": "image", "datatype": "BYTES", "shape": [-1], "parameters": {"binary": True}}
    ]


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("typed", [False, True])
def test_pictures_are_recognised_by_grpc(
    server: Server, pictures: list[bytes], *, typed: bool
) -> None:
    request = messages.ModelInferRequest(model_name=NAME)
    given = request.inputs.add(name="image", datatype="BYTES", shape=[2])
    if typed:
        given.contents.bytes_contents.extend(pictures)
    else:
        request.raw_input_contents.append(to_raw(np.array(pictures, dtype=np.object_)))
    key = (("authorization", f"Bearer {server.admin_key}"),)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(server.grpc_url, options=options) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            SERVICE + "ModelInfer"
        )
        said = call(request.SerializeToString(), metadata=key, timeout=60)
    answer = messages.ModelInferResponse.FromString(said)
    found = {
        output.name: from_raw(output.name, Datatype(output.datatype), output.shape, memoryview(raw))
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
    check(*({name: found[name][at].tolist() for name in ("labels", "scores")} for at in (0, 1)))


def check(cat: Any, coffee: Any) -> None:
    assert set(cat["labels"][:3]) == CATS
    assert set(coffee["labels"][:2]) == COFFEE
    for one in (cat, coffee):
        assert one["scores"] == sorted(one["scores"], reverse=True)
        assert len(one["scores"]) == 5
        assert 0 < sum(one["scores"]) <= 1 + 1e-6
    assert cat.get("label", cat["labels"][0]) == cat["labels"][0]
    assert coffee["scores"][0] > 0.9


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("not base64!", "element 0 must be base64"),
        ({"b64": base64.b64encode(b"https://example.org/cat.png").decode()}, "image 1: no picture"),
        ({"b64": base64.b64encode(picture("red")[:50]).decode()}, "image 1: "),
        ({"url": "https://example.org/cat.png"}, "element 0 must be base64"),
        ([1, 2, 3], "must be base64"),
        (None, "'image' is missing"),
    ],
)
def test_what_is_no_picture_is_refused(server: Server, value: Any, said: str) -> None:
    with Caller(server.url, server.admin_key) as call:
        body = {"instances": [{"image": value}]}
        answer = call("POST", f"/v1/models/{NAME}:predict", body)

    assert answer.status == 400
    assert said in answer.json()["error"]
