"""The commands as a user types them, against a real server."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.conftest import Server


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs commands with the environment of a user whose home is the server's."""

    def __init__(self, server: Server, timeout: float = 110) -> None:
        self._timeout = timeout
        self._environ = {**os.environ, "MODELYARD_HOME": str(server.home)}

    def __call__(self, *arguments: str, stdin: str = "", **environ: str) -> Ended:
        ended = subprocess.run(
            [sys.executable, "-m", "modelyard", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=self._timeout,
            check=False,
            env={**self._environ, **environ},
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def ok(self, *arguments: str, **more: str) -> Ended:
        ended = self(*arguments, **more)
        assert ended.code == 0, ended.out + ended.err
        return ended


@pytest.fixture(scope="module")
def modelyard(server: Server) -> Shell:
    return Shell(server)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 flats: rent follows size and district."""
    chance = random.Random(3)
    file = tmp_path_factory.mktemp("data") / "flats.csv"
    with file.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["size", "district", "rent"])
        for _ in range(120):
            size, district = chance.uniform(20, 120), chance.choice(["north", "south"])
            rent = 10 * size + (200 if district == "north" else 0) + chance.gauss(0, 5)
            writer.writerow([f"{size:.1f}", district, f"{rent:.2f}"])
    return file


@pytest.fixture(scope="module")
def deployed(modelyard: Shell, table: Path) -> str:
    """The whole way to a deployment, command by command."""
    added = modelyard.ok("datasets", "add", "cli-flats", str(table), "--json").json()
    assert (added["number"], added["inspection"]["rows"]) == (1, 120)
    options = ("--dataset", "cli-flats", "--target", "rent", "--algorithm", "ridge")
    job = modelyard.ok("train", "cli-rent", *options, "--alias", "champion", "--wait", "--json")
    assert job.json()["state"] == "succeeded"
    command = ("deploy", "cli-rent@champion", "--as", "cli-flat", "--wait", "--json")
    assert modelyard.ok(*command).json()["status"]["state"] == "ready"
    return "cli-flat"


def test_predictions_from_each_kind_of_file(
    modelyard: Shell, deployed: str, table: Path, tmp_path: Path
) -> None:
    record = {"size": 50.0, "district": "north"}
    lines = tmp_path / "rows.jsonl"
    lines.write_text(json.dumps(record) + "\n" + json.dumps(record) + "\n")
    one = modelyard.ok("predict", deployed, "--input", "-", "--json", stdin=json.dumps([record]))
    two = modelyard.ok("predict", deployed, "--input", str(lines), "--json")
    assert two.json()["predictions"] == one.json()["predictions"] * 2
    assert math.isclose(one.json()["predictions"][0], 700, rel_tol=0.05)
    many = modelyard.ok("predict", deployed, "--input", str(table), "--json")
    assert len(many.json()["predictions"]) == 120
    assert "rent" in many.err


def test_what_the_server_refuses_is_one_line(modelyard: Shell, deployed: str) -> None:
    ended = modelyard("predict", deployed, "--input", "-", stdin='[{"colour": 1}]')
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err
    assert modelyard("deployments", "show", "no-such-thing").code == 1
    assert modelyard("jobs", "show", "no-such-thing").code == 1
    assert modelyard("models", "show", "no-such-thing").code == 1


def test_what_was_made_is_shown(modelyard: Shell, deployed: str) -> None:
    card = modelyard.ok("models", "show", "cli-rent@champion").out
    assert "ridge" in card
    assert "rmse" in card
    assert "@champion" in card
    assert modelyard.ok("models", "show", "cli-rent:1", "--json").json()["version"]["number"] == 1
    assert "cli-rent:1" in modelyard.ok("deployments", "list").out
    assert "ready" in modelyard.ok("deployments", "show", deployed).out
    shown = modelyard.ok("datasets", "show", "cli-flats").out
    assert "district" in shown
    assert "string" in shown
    jobs = modelyard.ok("jobs", "list", "--json").json()
    job = next(job for job in jobs if job["spec"]["model"] == "cli-rent")
    assert modelyard.ok("jobs", "show", job["id"], "--json").json()["state"] == "succeeded"
    assert modelyard.ok("jobs", "logs", job["id"], "--follow").out.strip()
    assert modelyard.ok("jobs", "cancel", job["id"], "--json").json()["state"] == "succeeded"


def test_a_key_reaches_as_far_as_its_scope_until_it_is_revoked(
    modelyard: Shell, deployed: str
) -> None:
    made = modelyard.ok("keys", "create", "--scope", "infer", "--name", "cli", "--json").json()
    row = '[{"size": 50, "district": "south"}]'
    arguments = ("predict", deployed, "--input", "-")
    modelyard.ok(*arguments, stdin=row, MODELYARD_API_KEY=made["key"])
    refused = modelyard("models", "list", MODELYARD_API_KEY=made["key"])
    assert refused.code == 1
    assert "manage" in refused.err
    modelyard.ok("keys", "revoke", made["id"])
    revoked = time.monotonic()
    while modelyard(*arguments, stdin=row, MODELYARD_API_KEY=made["key"]).code == 0:
        assert time.monotonic() - revoked < 2
    states = {key["id"]: key["revoked_at"] for key in modelyard.ok("keys", "list", "--json").json()}
    assert states[made["id"]] is not None


def test_usage_is_priced(modelyard: Shell, deployed: str) -> None:
    made = modelyard.ok("keys", "create", "--name", "cli-priced", "--json").json()
    modelyard.ok("prices", "set", deployed, "--per", "row=0.01")
    assert "row 0.01 USD" in " ".join(modelyard.ok("prices", "list").out.split())
    rows = json.dumps([{"size": 50, "district": "south"}] * 3)
    arguments = ("predict", deployed, "--input", "-")
    modelyard.ok(*arguments, stdin=rows, MODELYARD_API_KEY=made["key"])
    end = time.monotonic() + 20
    mine: list[dict[str, Any]] = []
    while not mine and time.monotonic() < end:
        usage = modelyard.ok("usage", "--by", "key", "--json").json()
        mine = [line for line in usage if line["group"] == made["id"]]
    assert [(line["requests"], line["rows"], line["cost"]) for line in mine] == [(1, 3, "0.03")]


def test_a_job_can_be_left_and_cancelled(modelyard: Shell, deployed: str) -> None:
    options = ("--dataset", "cli-flats", "--target", "rent", "--folds", "20")
    job = modelyard.ok("train", "cli-left", *options, "--json").json()
    assert job["state"] == "queued"
    modelyard.ok("jobs", "cancel", job["id"])
    modelyard.ok("jobs", "logs", job["id"], "--follow")
    assert modelyard.ok("jobs", "show", job["id"], "--json").json()["state"] == "cancelled"


def test_a_broken_file_is_told_with_its_row(modelyard: Shell, tmp_path: Path) -> None:
    file = tmp_path / "broken.csv"
    file.write_text("a,b\n1,2\n3\n4,5,6\n")
    ended = modelyard("datasets", "add", "cli-broken", str(file))
    assert ended.code == 1
    assert "broken.csv" in ended.err
    assert str(tmp_path) not in ended.err


def test_an_onnx_file_is_imported_and_deployed(modelyard: Shell, tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])
    opset = helper.make_opsetid("", 17)
    file = tmp_path / "negate.onnx"
    save(helper.make_model(graph, opset_imports=[opset], ir_version=9), str(file))
    version = modelyard.ok("models", "import", "cli-negate", str(file), "--json").json()
    assert version["signature"]["inputs"][0]["name"] == "x"
    modelyard.ok("deploy", "cli-negate:1", "--wait")
    ended = modelyard.ok("predict", "cli-negate", "--input", "-", "--json", stdin="[[1, -2]]")
    assert ended.json() == {"predictions": [[-1.0, 2.0]]}
    modelyard.ok("deployments", "delete", "cli-negate")
    assert modelyard("deployments", "show", "cli-negate").code == 1
