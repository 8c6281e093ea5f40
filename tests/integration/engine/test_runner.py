import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from modelyard.adapters.engine.log import MAX_BYTES
from modelyard.adapters.engine.runner import ProcessTask, ProcessTaskRunner
from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.core.tasks import Limits, Outcome, Progress
from tests.integration.engine.living import alive

SCRIPT = str(Path(__file__).with_name("misbehaving.py"))
MEMORY = 1 << 30


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return Sandbox(detect())


@pytest.fixture
def runner(sandbox: Sandbox) -> ProcessTaskRunner:
    return ProcessTaskRunner(sandbox, SCRIPT, MEMORY)


@pytest.fixture
def family_runner(sandbox: Sandbox) -> ProcessTaskRunner:
    return ProcessTaskRunner(sandbox, SCRIPT, MEMORY, processes=4)


def run_to_end(
    runner: ProcessTaskRunner, task: str, scratch: Path
) -> tuple[list[Progress], Outcome]:
    running = runner.start(task, scratch)
    told: list[Progress] = []
    while (outcome := running.outcome()) is None:
        told += running.progress(0.5)
    return told + running.progress(0), outcome


def first_words(running: ProcessTask) -> str:
    for _ in range(100):
        if told := running.progress(0.2):
            return told[0].message
    raise AssertionError("the task said nothing")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def gone(pid: int) -> bool:
    for _ in range(100):
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_progress_and_a_good_end(runner: ProcessTaskRunner, tmp_path: Path) -> None:
    told, outcome = run_to_end(runner, "fine", tmp_path)
    assert outcome == Outcome(ok=True)
    assert [p.message for p in told] == ["step 0", "step 1", "step 2", "step 3"]
    assert told[3].fraction == 0.75
    assert told[3].data == {"score": 3}
    assert (tmp_path / "result.json").exists()


def test_what_the_user_can_mend_keeps_its_code_and_message(
    runner: ProcessTaskRunner, tmp_path: Path
) -> None:
    _, outcome = run_to_end(runner, "refuse", tmp_path)
    assert outcome == Outcome(
        ok=False, code="invalid", message="row 3 of column 'age' is no number"
    )


def test_any_other_exception_is_told_without_the_hosts_folders(
    runner: ProcessTaskRunner, tmp_path: Path
) -> None:
    _, outcome = run_to_end(runner, "break-down", tmp_path)
    assert (outcome.code, outcome.crashed) == ("task_failed", False)
    assert outcome.message == "RuntimeError: cannot use table.parquet or secret.py"
    # The operator's log has the whole story.
    assert "Traceback" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("abort", "killed by SIGABRT"),
        ("die", "killed by SIGKILL: probably the system ran out of memory"),
        ("leave", "ended with status 9"),
        ("leave-well", "ended with status 0 before it was done"),
    ],
)
def test_a_crash_names_its_cause(
    runner: ProcessTaskRunner, task: str, said: str, tmp_path: Path
) -> None:
    _, outcome = run_to_end(runner, task, tmp_path)
    assert not outcome.ok
    assert outcome.crashed
    assert outcome.code == ("killed" if task == "die" else "crashed")
    assert said in outcome.message


def test_what_was_said_before_a_crash_is_kept(runner: ProcessTaskRunner, tmp_path: Path) -> None:
    told, _ = run_to_end(runner, "abort", tmp_path)
    assert [p.message for p in told] == ["about to abort"]


def test_memory_is_bounded(runner: ProcessTaskRunner, tmp_path: Path) -> None:
    _, outcome = run_to_end(runner, "hoard", tmp_path)
    assert (outcome.code, outcome.crashed) == ("out_of_memory", False)
    assert "1024 MiB" in outcome.message


def test_files_are_bounded(runner: ProcessTaskRunner, tmp_path: Path) -> None:
    _, outcome = run_to_end(runner, "fill", tmp_path)
    assert outcome.code == "task_failed"
    assert "File too large" in outcome.message


def test_time_is_bounded_even_if_sigterm_is_ignored(sandbox: Sandbox, tmp_path: Path) -> None:
    started = time.monotonic()
    told, outcome = run_to_end(ProcessTaskRunner(sandbox, SCRIPT, MEMORY, 3), "stay", tmp_path)
    assert (outcome.code, outcome.crashed) == ("timed_out", True)
    assert "3 s" in outcome.message
    assert time.monotonic() - started < 15
    assert gone(int(told[0].message))


def test_a_tasks_own_limits_hold_within_the_servers(
    runner: ProcessTaskRunner, tmp_path: Path
) -> None:
    running = runner.start("stay", tmp_path, Limits(seconds=0.5))
    while (outcome := running.outcome()) is None:
        running.progress(0.1)
    assert outcome.code == "timed_out"
    assert "0.5 s" in outcome.message


def test_a_tasks_own_memory_is_what_it_really_uses(
    runner: ProcessTaskRunner, tmp_path: Path
) -> None:
    running = runner.start("stay", tmp_path, Limits(memory_bytes=1 << 20))
    while (outcome := running.outcome()) is None:
        running.progress(0.1)
    assert (outcome.code, outcome.crashed) == ("over_limit", False)
    assert "may use 1 MiB" in outcome.message


def below(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def test_kill_ends_grandchildren_too(family_runner: ProcessTaskRunner, tmp_path: Path) -> None:
    running = family_runner.start("have-children", tmp_path)
    assert first_words(running) == "started"
    family = below(running.pid)
    assert len(family) >= 2
    running.kill()
    assert all(gone(pid) for pid in family)
    assert not psutil.pid_exists(running.pid)
    outcome = running.outcome()
    assert outcome is not None
    assert outcome.crashed
    running.kill()  # once more changes nothing


def test_grandchildren_do_not_outlive_a_task_that_ended_well(
    family_runner: ProcessTaskRunner, tmp_path: Path
) -> None:
    running = family_runner.start("leave-children", tmp_path)
    family: set[int] = set()
    while (outcome := running.outcome()) is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            family |= set(below(running.pid))
        running.progress(0.01)
    assert outcome.ok
    assert all(gone(pid) for pid in family)


def test_a_task_starts_no_other_process_unless_it_may(
    runner: ProcessTaskRunner, tmp_path: Path
) -> None:
    _, outcome = run_to_end(runner, "leave-children", tmp_path)
    assert (outcome.code, outcome.crashed) == ("task_failed", False)
    assert "PermissionError" in outcome.message


def test_what_is_left_for_the_parent_is_no_link(runner: ProcessTaskRunner, tmp_path: Path) -> None:
    _, outcome = run_to_end(runner, "link", tmp_path)
    assert outcome.code == "task_failed"
    assert not (tmp_path / "result.json").is_symlink()


def test_the_number_of_files_is_bounded(runner: ProcessTaskRunner, tmp_path: Path) -> None:
    _, outcome = run_to_end(runner, "hoard-files", tmp_path)
    assert (outcome.code, outcome.crashed) == ("over_limit", False)
    assert "100000 files" in outcome.message


def test_the_log_is_bounded_and_never_blocks_the_task(
    runner: ProcessTaskRunner, tmp_path: Path
) -> None:
    _, outcome = run_to_end(runner, "shout", tmp_path)
    assert outcome.ok
    assert (tmp_path / "log.txt").stat().st_size == MAX_BYTES


def test_the_log_goes_on_while_nobody_asks(runner: ProcessTaskRunner, tmp_path: Path) -> None:
    running = runner.start("shout", tmp_path)
    assert gone(running.pid)
    assert running.outcome() == Outcome(ok=True)


def test_garbage_on_the_progress_pipe_is_dropped(runner: ProcessTaskRunner, tmp_path: Path) -> None:
    told, outcome = run_to_end(runner, "garble", tmp_path)
    assert outcome.ok
    assert [p.message for p in told] == ["one good line"]


def test_a_task_inherits_nothing(
    runner: ProcessTaskRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_ADMIN_KEY", "canary")
    secret = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(secret, True)
    try:
        told, outcome = run_to_end(runner, "look-around", tmp_path)
    finally:
        os.close(secret)
    assert outcome.ok
    assert set(told[0].data["environ"]) <= {
        "PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "USER", "LOGNAME", "PYTHONPATH",
        "JOBLIB_MULTIPROCESSING", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
        "POLARS_MAX_THREADS", "ORT_DISABLE_TELEMETRY",
    }  # fmt: skip
    # stdin, stdout, stderr, the pipe, and the listing itself
    assert told[0].data["fds"] == 5
    assert (told[1].message, told[1].data) == ("long", {})


@pytest.mark.parametrize(("task", "processes"), [("stay", 1), ("have-children", 4)])
def test_a_task_dies_with_its_parent(task: str, processes: int, tmp_path: Path) -> None:
    parent_code = """
import sys, time
from pathlib import Path
from modelyard.adapters.engine.runner import ProcessTaskRunner
from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
running = ProcessTaskRunner(Sandbox(detect()), sys.argv[2], 1 << 30, processes=int(sys.argv[3]))
running = running.start(sys.argv[4], Path(sys.argv[1]))
while not (told := running.progress(1.0)):
    pass
print("started", flush=True)
time.sleep(300)
"""
    command = [sys.executable, "-c", parent_code, str(tmp_path), SCRIPT, str(processes), task]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        family = below(parent.pid)
        assert family
        parent.send_signal(signal.SIGKILL)
    assert all(gone(pid) for pid in family)


def test_a_target_that_is_not_there(sandbox: Sandbox, tmp_path: Path) -> None:
    _, outcome = run_to_end(ProcessTaskRunner(sandbox, "/nowhere.py", MEMORY), "fine", tmp_path)
    assert (outcome.code, outcome.crashed) == ("crashed", True)


def test_nothing_is_left_open(runner: ProcessTaskRunner, tmp_path: Path) -> None:
    run_to_end(runner, "fine", tmp_path)
    before = open_files()
    for _ in range(3):
        run_to_end(runner, "fine", tmp_path)
    assert open_files() <= before
