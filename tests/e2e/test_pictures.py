"""Pictures of clothes, from a ZIP archive to a label, by the command line and both protocols."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from modelyard.core.elements import to_raw
from modelyard_client import Client
from tests import real_models
from tests.e2e.calls import Caller
from tests.e2e.conftest import Server
from tests.e2e.test_cli import Shell

NAME = "clothes"
ROWS = 6000
SHOWN = 60
TRAINING = (
    *("--algorithm", "cnn", "--gate", "accuracy >= 0.8", "--alias", "champion"),
    *("--param", "epochs=4", "--param", "conv_channels=[8, 16]", "--param", "batch_size=64"),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def modelyard(server: Server) -> Shell:
    return Shell(server, timeout=500)


@pytest.fixture(scope="module")
def trained(modelyard: Shell) -> Iterator[dict[str, Any]]:
    """One command from a data set to a model with its alias, which is deployed."""
    archive = real_models.fashion_mnist(ROWS)
    added = modelyard.ok("datasets", "add", NAME, str(archive), "--json").json()
    assert added["inspection"]["rows"] == ROWS
    job = modelyard.ok(
        "train", NAME, "--dataset", NAME, "--target", "label", *TRAINING, "--wait", "--json"
    ).json()
    modelyard.ok("deploy", f"{NAME}@champion", "--as", NAME, "--wait")
    yield job
    modelyard.ok("deployments", "delete", NAME)


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    with zipfile.ZipFile(real_models.fashion_mnist(ROWS)) as archive:
        return {name: archive.read(name) for name in archive.namelist()[:SHOWN]}


def check(labels: Any, pictures: dict[str, bytes]) -> None:
    truth = [name.split("/")[0] for name in pictures]
    right = sum(found == true for found, true in zip(labels, truth, strict=True))
    assert right >= 0.75 * SHOWN


def test_clothes_are_told_apart(trained: dict[str, Any], modelyard: Shell) -> None:
    assert trained["result"]["objections"] == []
    assert trained["result"]["metrics"]["accuracy"] > 0.8
    version = modelyard.ok("models", "show", f"{NAME}@champion", "--json").json()["version"]
    assert version["parity"]["agreed"]
    assert [one["format"] for one in version["artifacts"]] == ["joblib", "image_classifier"]
    shown = modelyard.ok("datasets", "show", NAME).out
    assert "image, 28 x 28 grey" in shown


@pytest.mark.usefixtures("trained")
def test_v1_takes_records(client: Client, pictures: dict[str, bytes]) -> None:
    found = client.predict(NAME, [{"image": data} for data in pictures.values()])
    check([one["label"] for one in found], pictures)


@pytest.mark.usefixtures("trained")
def test_v2_takes_bytes(server: Server, pictures: dict[str, bytes]) -> None:
    files = list(pictures.values())
    given: dict[str, Any] = {"name": "image", "shape": [SHOWN], "datatype": "BYTES"}
    raw = to_raw(np.array(files, dtype=np.object_))
    head = {"inputs": [{**given, "parameters": {"binary_data_size": len(raw)}}]}
    packed = json.dumps(head).encode()
    texts = [base64.b64encode(data).decode() for data in files]
    with Caller(server.url, server.admin_key) as call:
        sent = {"inference-header-content-length": str(len(packed))}
        path = f"/v2/models/{NAME}/infer"
        binary = call("POST", path, packed + raw, headers=sent).json()
        plain = call("POST", path, {"inputs": [{**given, "data": texts}]}).json()
    assert binary["outputs"] == plain["outputs"]
    labels = {one["name"]: one["data"] for one in binary["outputs"]}["label"]
    check(labels, pictures)


@pytest.mark.usefixtures("trained")
def test_the_command_line_takes_a_file(
    modelyard: Shell, pictures: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    name, data = next(iter(pictures.items()))
    file = tmp_path_factory.mktemp("picture") / "one.png"
    file.write_bytes(data)
    (told,) = modelyard.ok("predict", NAME, "--input", str(file), "--json").json()["predictions"]
    assert told["label"] in told["labels"]
    assert name.split("/")[0] in told["labels"][:3]
