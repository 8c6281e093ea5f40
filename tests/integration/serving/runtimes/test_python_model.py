"""Custom models, each loaded in a process of its own as in a replica: code is imported but once."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest

DECLARED = """
    from modelyard.model import Datatype, Invalid, Model, Signature, TensorSpec

    SIGNATURE = Signature(
        (TensorSpec("x", Datatype.FP32, (-1, 2)),), (TensorSpec("y", Datatype.FP32, (-1,)),)
    )
"""
SUM = (
    DECLARED
    + """
    class Sum(Model):
        signature = SIGNATURE
        dependencies = ("numpy>=1.20",)

        def load(self, folder):
            self.factor = float((folder / "factor.txt").read_text())

        def predict(self, inputs):
            if (inputs["x"] < 0).any():
                raise ValueError("x must not be negative")
            if (inputs["x"] == 7).any():
                return {"y": {}["seven"]}
            return {"y": inputs["x"].astype("float64").sum(1) * self.factor}

        def stream(self, inputs):
            for at in range(len(inputs["x"])):
                yield self.predict({"x": inputs["x"][at : at + 1]})
"""
)
ASK = """
import json, sys
import numpy as np
from pathlib import Path
from modelyard.core.errors import ModelyardError
from modelyard.serving.runtimes.catalogue import load
from modelyard.serving.runtimes.contract import RuntimeManifest

folder, asked = Path(sys.argv[1]), json.loads(sys.argv[2])
told = {"answers": []}
try:
    model = load(folder.parent, RuntimeManifest("python", {"model": folder.name}))
    told |= {"kind": model.kind, "streams": model.streams, "stackable": model.stackable}
    told["inputs"] = [[s.name, s.datatype, list(s.shape)] for s in model.signature.inputs]
    for rows in asked:
        inputs = {model.signature.inputs[0].name: np.array(rows, np.float32)}
        try:
            parts = list(model.stream(inputs)) if model.streams else [model.infer(inputs)]
            told["answers"].append([{n: t.tolist() for n, t in p.items()} for p in parts])
        except ModelyardError as error:
            told["answers"].append([type(error).__name__, error.message])
except ModelyardError as error:
    told["error"] = [type(error).__name__, error.message]
print(json.dumps(told))
"""


def write(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_text(textwrap.dedent(content).lstrip())
    return folder


def ask(path: Path, *rows: Any) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-c", ASK, str(path), json.dumps(rows)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return told


def error_of(path: Path) -> tuple[str, str]:
    kind, message = ask(path)["error"]
    return kind, message


def test_a_class_answers_streams_refuses_and_fails(tmp_path: Path) -> None:
    folder = write(tmp_path / "sum", model__py=SUM, factor__txt="10")
    told = ask(folder, [[1, 2]], [[1, 2], [3, 4]], [[-1, 0]], [[7, 0]])
    assert told["kind"] == "Sum"
    assert told["inputs"] == [["x", "FP32", [-1, 2]]]
    assert told["streams"]
    one, two, refused, failed = told["answers"]
    assert one == [{"y": [30.0]}]
    assert two == [{"y": [30.0]}, {"y": [70.0]}]
    assert refused == ["Invalid", "the model refused the input: ValueError: x must not be negative"]
    assert failed == ["ModelFailed", "Sum.stream failed: KeyError: 'seven' (model.py, line 18)"]


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    folder = write(tmp_path / "sum", model__py=SUM, factor__txt="1")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    assert ask(tmp_path / "model.zip", [[1, 2]])["answers"] == [[{"y": [3.0]}]]


def test_everything_can_be_declared_in_a_file(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "two",
        model__py="""
        from other import Other
        from modelyard.model import Model
        class A(Model):
            pass
        """,
        other__py="""
        from modelyard.model import Model
        class Other(Model):
            def predict(self, inputs):
                return {"out": inputs["in"] * 2}
        """,
        modelyard__toml="""
        [model]
        class = "other:Other"
        dependencies = ["numpy", "packaging>=20; python_version < '2'"]
        [[model.inputs]]
        name = "in"
        datatype = "FP32"
        shape = [-1]
        [[model.outputs]]
        name = "out"
        datatype = "INT64"
        shape = [-1]
        """,
    )
    told = ask(folder, [1, 2])
    assert told["answers"] == [[{"out": [2, 4]}]]
    assert told["stackable"]


@pytest.mark.parametrize(
    ("files", "kind", "message"),
    [
        ({}, "CannotLoad", "the folder has no file model.py"),
        ({"model__py": "x = 1"}, "CannotLoad", "must hold one subclass .* it holds none"),
        ({"model__py": "1 / 0"}, "CannotLoad", r"ZeroDivisionError: .* \(model.py, line 1\)"),
        ({"model__py": "def"}, "CannotLoad", "cannot be imported: SyntaxError"),
        ({"model__py": "import a_b_c"}, "NotInstalled", "imports 'a_b_c', which is neither"),
        ({"modelyard__toml": "[modell]"}, "CannotLoad", "modelyard.toml: .*unknown field"),
        ({"modelyard__toml": "["}, "CannotLoad", "modelyard.toml: "),
        (
            {"modelyard__toml": '[model]\ndependencies = ["no-such-thing>=1"]'},
            "NotInstalled",
            "needs 'no-such-thing>=1', which is not installed",
        ),
        (
            {"modelyard__toml": '[model]\ndependencies = ["numpy>=99"]'},
            "NotInstalled",
            r"needs 'numpy>=99', and numpy \d[\d.]* is installed",
        ),
        (
            {"modelyard__toml": '[model]\ndependencies = ["numpy 99"]'},
            "CannotLoad",
            "must be written as in",
        ),
        (
            {"modelyard__toml": '[model]\nclass = "json:JSONDecoder"', "model__py": ""},
            "CannotLoad",
            "there is no subclass|name of an installed one",
        ),
        (
            {"model__py": DECLARED + "\n    class A(Model): pass\n    class B(Model): pass"},
            "CannotLoad",
            "it holds A, B; with several",
        ),
        (
            {"model__py": DECLARED + "\n    class A(Model): pass"},
            "CannotLoad",
            "A declares no signature",
        ),
        (
            {
                "model__py": DECLARED
                + "\n    class A(Model):\n        signature = SIGNATURE\n"
                + "        def load(self, folder): (folder / 'gone').read_text()\n"
            },
            "CannotLoad",
            r"A.load failed: FileNotFoundError: .*'gone' \(model.py, line 9\)",
        ),
    ],
)
def test_what_does_not_load_says_what_and_where(
    files: dict[str, str], kind: str, message: str, tmp_path: Path
) -> None:
    import re

    folder = write(tmp_path / "wrong", **files)
    found, told = error_of(folder)
    assert found == kind, told
    assert re.search(message, told), told
    assert str(tmp_path) not in told


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [1]", "A must answer a dict of arrays, not a list"),
        ("return {}", "A gives no output 'y', which it declares"),
        ("return {'y': ['a']}", "output 'y' of A holds <U1, no numbers"),
        ("return {'y': inputs['x']}", "output 'y' of A has shape [1, 2]; it declares [-1]"),
        (
            "raise SystemError('broken')",
            "A.predict failed: SystemError: broken (model.py, line 10)",
        ),
    ],
)
def test_answers_are_held_against_the_signature(body: str, message: str, tmp_path: Path) -> None:
    code = textwrap.dedent(DECLARED) + textwrap.dedent(
        f"""
        class A(Model):
            signature = SIGNATURE
            def predict(self, inputs):
                {body}
        """
    )
    folder = write(tmp_path / "wrong", model__py=code)
    assert ask(folder, [[1, 2]])["answers"] == [["ModelFailed", message]]
