"""Allowances between real processes, which may be killed at any moment."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from modelyard.adapters.allowances import SharedAllowances
from modelyard.adapters.allowances.shared import SPARE_SEATS
from modelyard.core.errors import Unavailable
from modelyard.serving.limits.ports import Use
from tests.integration.allowances import reserving
from tests.integration.allowances.reserving import BUDGET, TENANT

LIMIT = 3000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "allowances"
    SharedAllowances.make(path, gateways=4)
    return path


@pytest.fixture
def shared(path: Path) -> Iterator[SharedAllowances]:
    shared = SharedAllowances(path)
    yield shared
    shared.close()


@contextmanager
def running(act: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process of `reserving`, which is killed at the end."""
    command = [sys.executable, "-m", reserving.__name__, act, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def until_held(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"


def test_several_processes_use_a_budget_up_and_never_more(
    path: Path, shared: SharedAllowances
) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(running("take", path, LIMIT)) for _ in range(3)]
        assert [process.wait(60) for process in processes] == [0, 0, 0]
    account = shared.of(TENANT).open(BUDGET)
    assert account.use(0.0) == Use(LIMIT, 0)


def test_what_a_killed_process_held_is_free_for_the_next(
    path: Path, shared: SharedAllowances
) -> None:
    accounts = shared.of(TENANT)
    account = accounts.open(BUDGET)
    assert accounts.reserve([(account, 100, LIMIT)], 0.0) is None
    account.settle(100, 60, 0.0)

    with running("hold", path, LIMIT) as holder:
        until_held(holder)
        assert account.use(0.0) == Use(60, LIMIT - 60)
        assert accounts.reserve([(account, 1, LIMIT)], 0.0) is not None

    # As a gateway does that takes the dead one's place.
    SharedAllowances(path).close()
    assert account.use(0.0) == Use(60, 0)
    assert accounts.reserve([(account, LIMIT - 60, LIMIT)], 0.0) is None


def test_a_lock_outlives_whoever_is_killed_with_it(path: Path, shared: SharedAllowances) -> None:
    accounts = shared.of(TENANT)
    account = accounts.open(BUDGET)
    with running("seize", path) as holder:
        until_held(holder)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="busy"):
            accounts.reserve([(account, 1, LIMIT)], 0.0)
        assert time.monotonic() - began < 5

    assert accounts.reserve([(account, 1, LIMIT)], 0.0) is None
    assert account.use(0.0) == Use(0, 1)


def test_there_are_seats_for_the_gateways_and_a_few_more(path: Path) -> None:
    seated = [SharedAllowances(path) for _ in range(4 * 2 + SPARE_SEATS)]
    with pytest.raises(Unavailable, match="more gateways"):
        SharedAllowances(path)
    seated.pop().close()
    SharedAllowances(path).close()
    for each in seated:
        each.close()
