"""That what models need works inside; what they must not do is tried in test_hostile."""

import importlib.util
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.adapters.engine.sandbox.launcher import NOT_ENCLOSED
from modelyard.adapters.engine.sandbox.policy import SandboxPolicy
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.core.sandboxing import Capabilities

MEMORY = 4 << 30


@pytest.fixture(scope="module")
def capabilities() -> Capabilities:
    found = detect()
    if not found.runs_code:
        pytest.skip(f"no sandbox here: {found.missing}")
    return found


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def run(capabilities: Capabilities, scratch: Path, code: str, *arguments: str, **more: Any) -> str:
    """Run `code` in a sandbox; return what it printed. It must end well."""
    status, printed = attempt(capabilities, scratch, code, *arguments, **more)
    assert status == 0, printed
    return printed


def attempt(
    capabilities: Capabilities, scratch: Path, code: str, *arguments: str, **more: Any
) -> tuple[int | None, str]:
    script = scratch / "script.py"
    script.write_text(code)
    log = scratch.parent / "log"
    with log.open("wb") as output:
        process = Sandbox(capabilities).start(
            str(script),
            arguments,
            SandboxPolicy(scratch=scratch, **{"memory_bytes": MEMORY, **more}),
            output=output.fileno(),
        )
    try:
        return process.wait(60), log.read_text()
    finally:
        process.kill()


def test_a_target_has_its_arguments_and_a_clean_environment(
    capabilities: Capabilities, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_ADMIN_KEY", "canary")
    code = "import os, sys; print(sys.argv[1:], sorted(os.environ), os.getcwd(), __name__)"
    printed = run(capabilities, scratch, code, "one", "two")
    assert "['one', 'two']" in printed
    assert "MODELYARD" not in printed
    assert str(scratch) in printed
    assert "__main__" in printed


def test_descriptors_that_are_passed_arrive_and_no_others(
    capabilities: Capabilities, scratch: Path, tmp_path: Path
) -> None:
    ours, theirs = socket.socketpair()
    secret = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(secret, True)
    # It receives a descriptor over the socket and maps the memory behind it, as replicas do.
    code = """
import array, mmap, os, socket, sys
print(sorted(int(fd) for fd in os.listdir("/proc/self/fd")))
control = socket.socket(fileno=int(sys.argv[1]))
message, fds, _, _ = socket.recv_fds(control, 100, 1)
shared = mmap.mmap(fds[0], 4096)
control.sendall(shared[:5])
"""
    script = scratch / "script.py"
    script.write_text(code)
    memory = os.memfd_create("tensor")
    os.write(memory, b"hello" + bytes(4091))
    with (tmp_path / "log").open("wb") as output:
        process = Sandbox(capabilities).start(
            str(script),
            [str(theirs.fileno())],
            SandboxPolicy(scratch=scratch, memory_bytes=MEMORY),
            pass_fds=[theirs.fileno()],
            output=output.fileno(),
        )
    number = theirs.fileno()
    theirs.close()
    socket.send_fds(ours, [b"x"], [memory])
    ours.settimeout(30)
    assert ours.recv(5) == b"hello"
    assert process.wait(30) == 0
    # 3 is the listing itself.
    listed = set(json.loads((tmp_path / "log").read_text()))
    assert listed - {number} == {0, 1, 2, 3}
    for descriptor in (secret, memory):
        os.close(descriptor)
    ours.close()


def test_what_cannot_be_shut_in_does_not_run(capabilities: Capabilities, scratch: Path) -> None:
    wrong = Capabilities(landlock=1, seccomp=True, namespaces=("user", "user"))
    status, printed = attempt(wrong, scratch, "print('ran')")
    assert status == NOT_ENCLOSED
    assert "the sandbox could not be built" in printed
    assert "ran" not in printed


def test_a_process_that_ended_can_be_asked_and_killed_again(
    capabilities: Capabilities, scratch: Path
) -> None:
    script = scratch / "script.py"
    script.write_text("raise SystemExit(3)")
    process = Sandbox(capabilities).start(
        str(script),
        [],
        SandboxPolicy(scratch=scratch, memory_bytes=MEMORY),
        output=subprocess.DEVNULL,
    )
    assert process.wait(30) == 3
    assert process.poll() == 3
    assert process.kill() == 3
    process.terminate()


LIBRARIES = {
    "numpy": "import numpy; print(numpy.linalg.inv(numpy.eye(3) * 2)[0, 0])",
    "threads": "import threading; t = threading.Thread(target=print); t.start(); t.join()",
    "asyncio": "import asyncio; asyncio.run(asyncio.sleep(0))",
    "tempfile": "import tempfile; open(tempfile.mkdtemp() + '/x', 'w').write('x')",
    "touch": "import pathlib; p = pathlib.Path('new'); p.touch(); p.touch(); p.stat()",
    "copy": "import shutil, sys; shutil.copy2(sys.argv[0], 'copy.py')",
    "sklearn": """
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
x, y = load_iris(return_X_y=True)
print(RandomForestClassifier(n_estimators=5, n_jobs=2).fit(x, y).predict(x[:3]))
""",
}


OPTIONAL = {
    "xgboost": """
import numpy, xgboost
x, y = numpy.random.rand(50, 3), numpy.arange(50) % 2
print(xgboost.XGBClassifier(n_estimators=2, n_jobs=2).fit(x, y).predict(x[:3]))
""",
    "lightgbm": """
import numpy, lightgbm
x, y = numpy.random.rand(50, 3), numpy.arange(50) % 2
print(lightgbm.LGBMClassifier(n_estimators=2, n_jobs=2, verbose=-1).fit(x, y).predict(x[:3]))
""",
    "torch": """
import torch
module = torch.jit.trace(torch.nn.Linear(3, 2), torch.zeros(1, 3))
module.save("module.pt")
print(torch.jit.load("module.pt")(torch.ones(2, 3)))
""",
    "keras": """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras, numpy
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
model.save("model.keras")
print(keras.models.load_model("model.keras").predict(numpy.zeros((2, 3)), verbose=0))
""",
}
SEVERAL = """
import os, subprocess, sys
from joblib import Parallel, delayed

assert os.waitpid(os.fork() or os._exit(3), 0)[1] == 3 << 8
subprocess.run([sys.executable, "-c", "import msgspec"], check=True)
print(Parallel(n_jobs=2)(delayed(pow)(number, 2) for number in range(4)))
"""


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_work(library: str, capabilities: Capabilities, scratch: Path) -> None:
    printed = run(capabilities, scratch, LIBRARIES[library])
    assert "Warning" not in printed


@pytest.mark.parametrize("library", OPTIONAL)
def test_optional_libraries_work(library: str, capabilities: Capabilities, scratch: Path) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    run(capabilities, scratch, OPTIONAL[library], memory_bytes=8 << 30)


def test_scikit_learn_takes_turns_where_it_may_be_one_process_only(
    capabilities: Capabilities, scratch: Path
) -> None:
    code = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
x, y = load_iris(return_X_y=True)
print(len(cross_val_score(LogisticRegression(max_iter=500), x, y, n_jobs=2)))
"""
    assert run(capabilities, scratch, code).split() == ["5"]


def test_several_processes_work_where_they_are_allowed(
    capabilities: Capabilities, scratch: Path
) -> None:
    printed = run(capabilities, scratch, SEVERAL, processes=12)
    assert printed == "[0, 1, 4, 9]\n"
