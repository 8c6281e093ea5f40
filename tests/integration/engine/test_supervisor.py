import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from modelyard.adapters.engine.supervisor import ChildSpec, Supervisor, listen
from modelyard.core.errors import Invalid
from tests.integration.engine.living import alive

SCRIPT = Path(__file__).with_name("supervised.py")


@contextmanager
def supervised(
    story: Path, *kinds: str, under: tuple[str, ...] = ()
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with (
        story.with_suffix(".log").open("w") as log,
        subprocess.Popen(
            [*under, sys.executable, str(SCRIPT), str(story), *kinds],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def until(what: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def told(story: Path, word: str) -> list[list[str]]:
    return [line.split() for line in story.read_text().splitlines() if line.startswith(word)]


def pids(story: Path) -> list[int]:
    return [int(pid) for _, _, pid in told(story, "started")]


def answer(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        return int(connection.recv(100))


@pytest.fixture
def story(tmp_path: Path) -> Path:
    return tmp_path / "story"


def test_children_share_one_socket_and_stop_in_order(story: Path) -> None:
    with supervised(story, "server", "worker") as (process, port):
        until(lambda: len(told(story, "started")) == 3)
        assert answer(port) in pids(story)
        process.terminate()
        assert process.wait(timeout=10) == 0
    words = [line.split()[:2] for line in story.read_text().splitlines()][3:]
    # The worker is asked only after both servers have stopped.
    assert words[:4].count(["asked", "server"]) == 2
    assert words[:4].count(["stopped", "server"]) == 2
    assert words[4] == ["asked", "worker"]


def test_a_child_that_yields_starts_once_the_others_are_ready(story: Path) -> None:
    with supervised(story, "later", "server"):
        until(lambda: len(told(story, "started")) == 3)
    assert [name for _, name, _ in told(story, "started")] == ["server", "server", "later"]


def test_a_child_does_not_yield_for_longer_than_it_may(story: Path) -> None:
    # Nothing but it would ever be ready.
    with supervised(story, "soon"):
        until(lambda: len(told(story, "started")) == 1)


def test_a_dead_child_is_replaced(story: Path) -> None:
    with supervised(story, "server", "worker") as (_, port):
        until(lambda: len(told(story, "started")) == 3)
        for pid in pids(story):
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(told(story, "started")) == 6)
        assert answer(port) in pids(story)[3:]


def test_children_die_with_a_supervisor_that_is_killed(story: Path) -> None:
    with supervised(story, "server", "stubborn") as (process, _):
        until(lambda: len(told(story, "started")) == 3)
        process.kill()
        process.wait()
    until(lambda: not any(alive(pid) for pid in pids(story)))


def test_a_child_that_does_not_stop_is_killed_when_its_grace_is_over(story: Path) -> None:
    with supervised(story, "stubborn") as (process, _):
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
    assert 3.0 <= time.monotonic() - started < 10
    assert not any(alive(pid) for pid in pids(story))


def test_a_second_signal_kills_at_once(story: Path) -> None:
    with supervised(story, "stubborn") as (process, _):
        started = time.monotonic()
        process.terminate()
        time.sleep(0.1)
        process.terminate()
        assert process.wait(timeout=10) == 0
    assert time.monotonic() - started < 2.5
    assert not any(alive(pid) for pid in pids(story))


def test_a_signal_that_is_ignored_from_the_start_stays_ignored(story: Path) -> None:
    with supervised(story, "worker", under=("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")) as (
        process,
        _,
    ):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        assert told(story, "asked") == []
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_a_child_that_cannot_stay_up_is_tried_ever_more_rarely(story: Path) -> None:
    with supervised(story, "worker", "broken", "absent") as (process, _):
        until(lambda: len(told(story, "broken")) == 6)
        process.terminate()
        assert process.wait(timeout=10) == 0
    starts = [float(at) for _, at in told(story, "broken")]
    pauses = [after - before for before, after in pairwise(starts)]
    assert pauses[4] > 1.5
    assert sum(pauses[:3]) > 0.7
    log = story.with_suffix(".log").read_text()
    assert log.count("ERROR:modelyard.adapters.engine.supervisor:a child does not stay up") == 2
    # The healthy child was left alone meanwhile.
    assert len(told(story, "started")) == 1


def test_a_port_in_use_is_told_plainly() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(Invalid, match=f"port {port}: Address.*; set 'port' to another"):
            listen("127.0.0.1", port)


def test_a_child_that_listens_needs_a_socket() -> None:
    with pytest.raises(ValueError, match="there is no socket"):
        Supervisor([ChildSpec("server", ("true",), listens=True)])
