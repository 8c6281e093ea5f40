"""A server's processes, as the operating system sees them."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

KINDS = ("gateway", "controller", "runtimes", "worker", "task")


def of_kind(supervisor: int, kind: str) -> list[psutil.Process]:
    """The supervisor's processes of one of `KINDS`."""
    found = []
    for process in psutil.Process(supervisor).children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if words[1:3] == ["-m", "modelyard.bootstrap"] and words[3:4] == [kind]:
            found.append(process)
    return found


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Look again and again; an AssertionError that says `what` when it does not come true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def replicas(supervisor: int) -> set[int]:
    """The processes that hold one model each."""
    found = set()
    for process in psutil.Process(supervisor).children(recursive=True):
        try:
            words = process.cmdline()
            running = process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            continue
        if running and any('"replica"' in word for word in words):
            found.add(process.pid)
    return found
