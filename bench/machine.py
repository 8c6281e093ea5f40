"""Where and how a measurement was made."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from bench.environments import ROOT

_OURS: Final = ("modelyard", "onnxruntime", "numpy", "uvicorn", "httptools", "uvloop", "msgspec")


class Machine(msgspec.Struct, frozen=True):
    """The machine, what ran on it, and how long. `load_average` is of the minute before."""

    date: str
    processor: str
    cores: int
    system: str
    python: str
    server_core: int
    load_core: int
    runs: int
    seconds: float
    load_average: float
    versions: dict[str, str]


def machine(
    server_core: int,
    load_core: int,
    runs: int,
    seconds: float,
    load_average: float,
    peers: Mapping[str, str],
) -> Machine:
    """This machine, as it is now."""
    return Machine(
        date=datetime.now(UTC).date().isoformat(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        server_core=server_core,
        load_core=load_core,
        runs=runs,
        seconds=seconds,
        load_average=load_average,
        versions={"commit": _commit(), **{name: version(name) for name in _OURS}, **peers},
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """The commit that was measured, marked if the tree had changes."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
