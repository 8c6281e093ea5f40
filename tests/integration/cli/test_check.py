"""`modelyard models check`: a model tried in a sandbox, without a server."""

from __future__ import annotations

import json
import pickle
import textwrap
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from modelyard.bootstrap.parts import CAPABILITIES
from modelyard.cli.app import main

DOUBLE = """
    import sys
    from modelyard.model import Datatype, Model, Signature, TensorSpec

    print("imported by", sys.platform)

    class Double(Model):
        signature = Signature(
            (TensorSpec("x", Datatype.FP32, (-1,)),), (TensorSpec("y", Datatype.FP32, (-1,)),)
        )

        def predict(self, inputs):
            return {"y": inputs["x"] * 2}
"""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(CAPABILITIES, "")


def write(folder: Path, code: str) -> Path:
    folder.mkdir()
    (folder / "model.py").write_text(textwrap.dedent(code))
    return folder


def check(*arguments: object) -> int:
    return main(["models", "check", *map(str, arguments)])


def test_a_custom_model_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(write(tmp_path / "double", DOUBLE)) == 0
    told = capsys.readouterr().out
    for line in ("Double", "x FP32[-1]", "y FP32[-1]", "imported by linux", "made-up rows"):
        assert line in told
    assert not (tmp_path / "home").exists()


def test_a_sample_is_used_and_machines_are_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, target = load_iris(return_X_y=True)
    (tmp_path / "iris").write_bytes(
        pickle.dumps(LogisticRegression(max_iter=999).fit(rows, target))
    )
    (tmp_path / "rows.json").write_text(json.dumps(rows.tolist()))
    assert check(tmp_path / "iris", "--sample", tmp_path / "rows.json", "--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["format"] == "pickle"
    assert told["examined"]["parity"]["agreed"]
    assert told["examined"]["parity"]["rows"] == 150
    assert "warnings" not in told["examined"]["card"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (DOUBLE.replace("* 2", "* oops"), "name 'oops' is not defined (model.py, line 13)"),
        (DOUBLE.replace("import sys", "import sys, no_such_thing"), "imports 'no_such_thing'"),
        (
            DOUBLE.replace("import sys", "import sys, socket; socket.socket()"),
            "model.py cannot be imported: PermissionError",
        ),
        (
            DOUBLE.replace("import sys", "import sys, os; os.listdir('/home')"),
            "model.py cannot be imported: PermissionError",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    code: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(write(tmp_path / "wrong", code)) == 1
    assert told in capsys.readouterr().err


def test_paths_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path / "gone") == 1
    assert "there is no file or folder" in capsys.readouterr().err
    folder = write(tmp_path / "double", DOUBLE)
    assert check(folder, "--sample", tmp_path / "gone.json") == 1
    assert "there is no file" in capsys.readouterr().err
