from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from tests import real_models

DEMO = (sys.executable, "-m", "modelyard", "demo")


def _environ(tmp_path: Path) -> dict[str, str]:
    """Temporary folders of its own, and settings that the demo must not listen to."""
    (tmp_path / "tmp").mkdir()
    return {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "MODELYARD_URL": "http://127.0.0.1:1"}


@pytest.mark.slow
def test_the_demo_does_the_main_job_and_leaves_nothing(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = subprocess.run(
        DEMO, capture_output=True, text=True, timeout=110, check=False, env=_environ(tmp_path)
    )
    took = time.monotonic() - began
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    said = "\n".join(line.rstrip() for line in ended.stdout.splitlines())

    # Two calls at 0.001 each.
    assert re.search(r"^ *tumours +2 +0 +0 +6 .* 0\.002 USD$", said, re.M)
    assert re.search(r"it says (malignant|benign), with probability [01]\.\d{3}", said)
    answers = re.findall(r"^ *\d +(malignant|benign) +(malignant|benign) +(yes|no)$", said, re.M)
    assert len(answers) == 5
    assert sum(agrees == "yes" for _, _, agrees in answers) >= 4
    assert "roc_auc" in said
    assert "stopped with exit code 0" in said
    assert list((tmp_path / "tmp").iterdir()) == []
    assert took < 90


@pytest.mark.slow
def test_a_demo_that_is_kept_can_be_tried_with_what_it_prints(tmp_path: Path) -> None:
    environ = _environ(tmp_path)
    ended = subprocess.run(
        [*DEMO, "--keep"], capture_output=True, text=True, timeout=110, check=False, env=environ
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = [line.strip() for line in ended.stdout.partition("The server goes on")[2].splitlines()]
    pid = int(next(line for line in lines if line.startswith("kill ")).split()[1])
    try:
        exports = [line for line in lines if line.startswith(("unset ", "export "))]
        tries = [line for line in lines if line.startswith(("modelyard ", "curl "))]
        # As a shell would, with the console script of this environment.
        modelyard = f'modelyard() {{ {shlex.quote(sys.executable)} -m modelyard "$@"; }}'
        script = "\n".join(["set -e", modelyard, *exports, *tries])
        tried = subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environ,
        )
        assert tried.returncode == 0, tried.stdout + tried.stderr
        assert '{"predictions":[' in tried.stdout
        assert len(tries) >= 4
    finally:
        os.kill(pid, signal.SIGTERM)
        _wait_until_gone(pid)


@pytest.mark.slow
@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_demo_cleans_up(tmp_path: Path, interrupt: signal.Signals) -> None:
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environ(tmp_path)
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "answers after" in line:
                break
        demo.send_signal(interrupt)
        out, err = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "stopped with exit code 0" in out
    assert err == "modelyard: interrupted\n"
    assert list((tmp_path / "tmp").iterdir()) == []


def _wait_until_gone(pid: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the server did not end")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demo_of_language_models_chats_searches_and_counts(tmp_path: Path) -> None:
    real_models.chat_model()  # Where it cannot be had, the demo cannot either.
    ended = subprocess.run(
        [*DEMO, "--llm"],
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
        env=_environ(tmp_path),
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    said = ended.stdout

    assert "135 million parameters in Q4_1" in said
    assert re.search(r"openvino +\d+ +\d+", said)
    assert re.search(r"llamacpp +\d+ +\d+", said)
    counts = re.search(r"(\d+) \+ (\d+) tokens; the first after \d+ ms, \d+ tokens/s", said)
    assert counts is not None
    prompt, answer = counts.groups()
    cost = 37 * Decimal("0.15") + int(answer) * Decimal("0.60")
    assert prompt == "37"
    assert f"37 tokens in prompts, {answer} in answers, {(cost / 1_000_000).normalize():f}" in said
    # The two sentences about money come before the cat, the train and the garden.
    found = re.findall(r"^ *-?0\.\d{3} +(\w+)", said, re.M)
    assert set(found[:2]) == {"Interest", "The"}
    assert said.index("The bank approved") < said.index("The cat sleeps")
    assert "stopped with exit code 0" in said
    assert list((tmp_path / "tmp").iterdir()) == []
