"""Code that means harm, in a sandbox of each level: everything it tries fails."""

import ctypes
import json
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from modelyard.adapters.engine.log import MAX_BYTES, ChildLog
from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.adapters.engine.sandbox.policy import MIB, SandboxPolicy
from modelyard.adapters.engine.sandbox.process import SandboxedProcess
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.core.sandboxing import Capabilities, SandboxLevel
from tests.integration.engine.sandbox import hostile

SCRIPT = Path(hostile.__file__)
CANARY = b"canary: nobody but the parent knows this"


@pytest.fixture(scope="module")
def able() -> Capabilities:
    found = detect()
    if not found.runs_code:
        pytest.skip(f"no sandbox here: {found.missing}")
    return found


@pytest.fixture(params=[SandboxLevel.FULL, SandboxLevel.REDUCED])
def sandbox(request: pytest.FixtureRequest, able: Capabilities) -> Sandbox:
    """Of the level that this host allows, and as if it had no namespaces."""
    if request.param is SandboxLevel.REDUCED:
        return Sandbox(Capabilities(able.landlock, able.seccomp, (), (), ("none here",)))
    if able.level is not SandboxLevel.FULL:
        pytest.skip(f"no full sandbox here: {able.missing}")
    return Sandbox(able)


class Scene:
    """A server's home, its sockets, and this process in the part of the parent."""

    def __init__(self, folder: Path) -> None:
        self.open = ExitStack()
        self.home = folder / "home"
        self.home.mkdir()
        self.secret = self.home / "pepper"
        self.secret.write_bytes(CANARY)
        self.secret.chmod(0o600)
        self.own = folder / "models" / "own"
        self.own.mkdir(parents=True)
        (self.own / "model").write_bytes(b"own")
        other = folder / "models" / "other"
        other.mkdir()
        (other / "model").write_bytes(CANARY)
        self.memory = ctypes.create_string_buffer(CANARY)
        self.target = {
            "home": str(self.home),
            "secret": str(self.secret),
            "own_model": str(self.own / "model"),
            "other_model": str(other / "model"),
            "parent": os.getpid(),
            "address": ctypes.addressof(self.memory),
            "tcp": self._listen(socket.AF_INET, ("127.0.0.1", 0))[1],
            "udp": self._bound(socket.AF_INET, ("127.0.0.1", 0))[1],
            "unix": self._listen(socket.AF_UNIX, str(folder / "unix")),
            "unix_datagram": self._bound(socket.AF_UNIX, str(folder / "datagram")),
            "abstract": self._listen(socket.AF_UNIX, f"\0hostile-{os.getpid()}-{id(self)}")
            .decode()
            .strip("\0"),
            "file_bytes": 64 * MIB,
        }

    def _listen(self, family: int, address: Any) -> Any:
        listener = self.open.enter_context(socket.socket(family))
        listener.bind(address)
        listener.listen()
        return listener.getsockname()

    def _bound(self, family: int, address: Any) -> Any:
        receiver = self.open.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        receiver.bind(address)
        return receiver.getsockname()


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    # A short path: the names of sockets are.
    with tempfile.TemporaryDirectory() as folder:
        made = Scene(Path(folder))
        with made.open:
            yield made


def policy(scratch: Path, scene: Scene, **more: Any) -> SandboxPolicy:
    given = {"memory_bytes": 2048 * MIB, "file_bytes": 64 * MIB, "scratch_bytes": 128 * MIB} | more
    return SandboxPolicy(scratch=scratch, readable=(scene.own,), **given)


class Run:
    """One process that tries something, and what it said."""

    def __init__(
        self, sandbox: Sandbox, scene: Scene, scratch: Path, *names: str, **more: Any
    ) -> None:
        scratch.mkdir(exist_ok=True)
        self.scratch = scratch
        self.log_path = scratch.with_suffix(".log")
        self.log = ChildLog(self.log_path)
        self.process: SandboxedProcess = sandbox.start(
            str(SCRIPT),
            [json.dumps(scene.target), *names],
            policy(scratch, scene, **more),
            output=self.log.writing,
        )
        os.close(self.log.writing)
        self.log._thread.start()

    def end(self, seconds: float = 60) -> int | None:
        status = self.process.wait(seconds)
        self.process.kill()
        self.log.close()
        return status

    def said(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def came(self) -> dict[str, str]:
        lines = self.said().splitlines()
        told = [json.loads(line) for line in lines if line.startswith('{"attempt"')]
        return {line["attempt"]: line["came"] for line in told}


@pytest.fixture(scope="module")
def known() -> dict[SandboxLevel, dict[str, str]]:
    """What came of the short attempts at each level, which is found out once."""
    return {}


@pytest.fixture
def came(
    sandbox: Sandbox, scene: Scene, known: dict[SandboxLevel, dict[str, str]], tmp_path: Path
) -> dict[str, str]:
    """What the short attempts said, all by one process that lived through them."""
    level = sandbox.capabilities.level
    if level not in known:
        names = [attempt.__name__ for attempt in hostile.SHORT]
        run = Run(sandbox, scene, tmp_path / "scratch", *names)
        assert run.end() == 0, run.log.last_words
        known[level] = run.came()
    return known[level]


@pytest.mark.parametrize("attempt", [attempt.__name__ for attempt in hostile.SHORT])
def test_an_attempt_fails_and_says_so(attempt: str, came: dict[str, str], scene: Scene) -> None:
    assert came[attempt] != "succeeded"
    error = came[attempt].partition(":")[0]
    assert error in {
        "PermissionError", "OSError", "MemoryError", "gaierror", "BlockingIOError",
        "FileNotFoundError", "ProcessLookupError",
    }  # fmt: skip


def test_nothing_was_touched(came: dict[str, str], scene: Scene) -> None:
    assert len(came) >= 25
    assert scene.secret.read_bytes() == CANARY
    assert scene.secret.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in scene.home.iterdir()] == ["pepper"]
    assert (scene.own / "model").read_bytes() == b"own"
    assert not Path("/dev/shm/mine").exists()  # noqa: S108


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        ("fill_disk", "on disk"),
        ("fill_disk_unseen", "on disk"),
        ("use_memory", "of memory"),
    ],
)
def test_who_goes_too_far_is_killed_and_it_is_said_why(
    attempt: str, reason: str, sandbox: Sandbox, scene: Scene, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"resident_bytes": 256 * MIB, "memory_bytes": 16384 * MIB}
    run = Run(sandbox, scene, tmp_path / "scratch", attempt, **more)
    assert run.end() == -signal.SIGKILL
    assert reason in run.process.killed_because
    assert attempt not in run.came()


def test_threads_come_to_an_end(sandbox: Sandbox, scene: Scene, tmp_path: Path) -> None:
    run = Run(sandbox, scene, tmp_path / "scratch", "start_threads", memory_bytes=16384 * MIB)
    run.end()
    # As for processes below: the kernel does not count for root.
    refused = run.came().get("start_threads", "").startswith("RuntimeError")
    assert refused or "threads" in run.process.killed_because


@pytest.mark.parametrize("attempt", ["get_away", "fork_bomb"])
def test_no_process_starts_another(
    attempt: str, sandbox: Sandbox, scene: Scene, tmp_path: Path
) -> None:
    run = Run(sandbox, scene, tmp_path / "scratch", attempt)
    assert run.end() == 0
    assert run.came()[attempt].startswith("PermissionError")


def test_where_several_are_allowed_a_fork_bomb_ends(
    sandbox: Sandbox, scene: Scene, tmp_path: Path
) -> None:
    run = Run(sandbox, scene, tmp_path / "scratch", "fork_bomb", processes=4, threads=32)
    run.end(20)
    assert below(run.process.pid) == []
    # As root by the watchdog, else by the kernel's limit.
    assert run.process.killed_because or run.came()["fork_bomb"].startswith("BlockingIOError")


def test_where_several_are_allowed_none_gets_away(
    sandbox: Sandbox, scene: Scene, tmp_path: Path
) -> None:
    run = Run(sandbox, scene, tmp_path / "scratch", "get_away", processes=4)
    seen: set[int] = set()
    while run.process.poll() is None:
        seen |= set(below(run.process.pid))
        time.sleep(0.005)
    run.end()
    assert seen
    assert all(gone(pid) for pid in seen)


@pytest.mark.skipif(not hostile.X86, reason="only x86 runs 32-bit calls")
def test_calls_of_another_machine_are_the_end(
    sandbox: Sandbox, scene: Scene, tmp_path: Path
) -> None:
    run = Run(sandbox, scene, tmp_path / "scratch", "other_machine")
    assert run.end() == -signal.SIGSYS


def test_who_ignores_every_signal_is_killed(sandbox: Sandbox, scene: Scene, tmp_path: Path) -> None:
    run = Run(sandbox, scene, tmp_path / "scratch", "ignore_signals")
    wait_for(lambda: run.said() == "ignoring\n")
    run.process.terminate()
    assert run.process.wait(0.3) is None
    assert run.process.kill() == -signal.SIGKILL
    run.end()


def test_gigabytes_on_stdout_fill_no_disk(sandbox: Sandbox, scene: Scene, tmp_path: Path) -> None:
    run = Run(sandbox, scene, tmp_path / "scratch", "print_endlessly")
    wait_for(lambda: len(run.said()) == MAX_BYTES)
    time.sleep(0.2)
    run.process.kill()
    run.end()
    assert run.log_path.stat().st_size == MAX_BYTES


def test_processor_time_is_bounded(sandbox: Sandbox, scene: Scene, tmp_path: Path) -> None:
    run = Run(sandbox, scene, tmp_path / "scratch", "compute_endlessly", cpu_seconds=1)
    assert run.end() in {-signal.SIGXCPU, -signal.SIGKILL}


def below(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def gone(pid: int) -> bool:
    wait_for(lambda: not psutil.pid_exists(pid))
    return True


def wait_for(what: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
