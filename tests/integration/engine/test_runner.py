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
from modelyard.core.tasks import Outcome, Progress

COMMAND = (sys.executable, str(Path(__file__).with_name("misbehaving.py")))
MEMORY = 1 << 30


def run_to_end(
    task: str, scratch: Path, seconds: float | None = None
) -> tuple[list[Progress], Outcome]:
    running = ProcessTaskRunner(COMMAND, MEMORY, seconds).start(task, scratch)
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
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_progress_and_a_good_end(tmp_path: Path) -> None:
    told, outcome = run_to_end("fine", tmp_path)
    assert outcome == Outcome(ok=True)
    assert [p.message for p in told] == ["step 0", "step 1", "step 2", "step 3"]
    assert told[3].fraction == 0.75
    assert told[3].data == {"score": 3}
    assert (tmp_path / "result.json").exists()


def test_what_the_user_can_mend_keeps_its_code_and_message(tmp_path: Path) -> None:
    _, outcome = run_to_end("refuse", tmp_path)
    assert outcome == Outcome(
        ok=False, code="invalid", message="row 3 of column 'age' is no number"
    )


def test_any_other_exception_is_told_without_the_hosts_folders(tmp_path: Path) -> None:
    _, outcome = run_to_end("break-down", tmp_path)
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
def test_a_crash_names_its_cause(task: str, said: str, tmp_path: Path) -> None:
    _, outcome = run_to_end(task, tmp_path)
    assert not outcome.ok
    assert outcome.crashed
    assert outcome.code == ("killed" if task == "die" else "crashed")
    assert said in outcome.message


def test_what_was_said_before_a_crash_is_kept(tmp_path: Path) -> None:
    told, _ = run_to_end("abort", tmp_path)
    assert [p.message for p in told] == ["about to abort"]


def test_memory_is_bounded(tmp_path: Path) -> None:
    _, outcome = run_to_end("hoard", tmp_path)
    assert (outcome.code, outcome.crashed) == ("out_of_memory", False)
    assert "1024 MiB" in outcome.message


def test_files_are_bounded(tmp_path: Path) -> None:
    _, outcome = run_to_end("fill", tmp_path)
    assert outcome.code == "task_failed"
    assert "File too large" in outcome.message


def test_time_is_bounded_even_if_sigterm_is_ignored(tmp_path: Path) -> None:
    started = time.monotonic()
    told, outcome = run_to_end("stay", tmp_path, seconds=3)
    assert (outcome.code, outcome.crashed) == ("timed_out", True)
    assert "3 s" in outcome.message
    assert time.monotonic() - started < 15
    assert gone(int(told[0].message))


def test_kill_ends_grandchildren_too(tmp_path: Path) -> None:
    running = ProcessTaskRunner(COMMAND, MEMORY).start("have-children", tmp_path)
    grandchild = int(first_words(running))
    running.kill()
    assert gone(grandchild)
    assert not psutil.pid_exists(running.pid)
    outcome = running.outcome()
    assert outcome is not None
    assert outcome.crashed
    running.kill()  # once more changes nothing


def test_grandchildren_do_not_outlive_a_task_that_ended_well(tmp_path: Path) -> None:
    told, outcome = run_to_end("leave-children", tmp_path)
    assert outcome.ok
    assert gone(int(told[0].message))


def test_the_log_is_bounded_and_never_blocks_the_task(tmp_path: Path) -> None:
    _, outcome = run_to_end("shout", tmp_path)
    assert outcome.ok
    assert (tmp_path / "log.txt").stat().st_size == MAX_BYTES


def test_the_log_goes_on_while_nobody_asks(tmp_path: Path) -> None:
    running = ProcessTaskRunner(COMMAND, MEMORY).start("shout", tmp_path)
    assert gone(running.pid)
    assert running.outcome() == Outcome(ok=True)


def test_garbage_on_the_progress_pipe_is_dropped(tmp_path: Path) -> None:
    told, outcome = run_to_end("garble", tmp_path)
    assert outcome.ok
    assert [p.message for p in told] == ["one good line"]


def test_a_task_inherits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_ADMIN_KEY", "canary")
    secret = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(secret, True)
    try:
        told, outcome = run_to_end("look-around", tmp_path)
    finally:
        os.close(secret)
    assert outcome.ok
    assert set(told[0].data["environ"]) <= {
        "PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "ORT_DISABLE_TELEMETRY",
    }  # fmt: skip
    # stdin, stdout, stderr, the pipe, and the listing itself
    assert told[0].data["fds"] == 5
    assert (told[1].message, told[1].data) == ("long", {})


def test_a_task_dies_with_its_parent(tmp_path: Path) -> None:
    parent_code = """
import sys, time
from pathlib import Path
from modelyard.adapters.engine.runner import ProcessTaskRunner
running = ProcessTaskRunner(sys.argv[2:], 1 << 30).start("stay", Path(sys.argv[1]))
while not (told := running.progress(1.0)):
    pass
print(told[0].message, flush=True)
time.sleep(300)
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent_code, str(tmp_path), *COMMAND], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        task = int(parent.stdout.readline())
        assert psutil.pid_exists(task)
        parent.send_signal(signal.SIGKILL)
    assert gone(task)


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    before = open_files()
    with pytest.raises(FileNotFoundError):
        ProcessTaskRunner(("/nowhere/python",), MEMORY).start("fine", tmp_path)
    time.sleep(0.1)
    assert open_files() == before


def test_nothing_is_left_open(tmp_path: Path) -> None:
    run_to_end("fine", tmp_path)
    before = open_files()
    for _ in range(3):
        run_to_end("fine", tmp_path)
    assert open_files() == before
