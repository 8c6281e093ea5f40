"""What the sandbox costs: to build, to start in, and for each call. `python -m bench.sandbox`.

Starts are told in processor time, which other work on the machine does not change much; calls in
the time of the clock, the best of seven.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.adapters.engine.sandbox.interpreter import import_path
from modelyard.adapters.engine.sandbox.policy import SandboxPolicy
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.core.sandboxing import Capabilities

ROUNDS: Final = 21
MEMORY: Final = 8 << 30

NOTHING: Final = ""
LIBRARIES: Final = "import numpy, onnxruntime"
CALLS: Final = """
import json, os, time
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

def microseconds(call, count):
    best = []
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(count):
            call()
        best.append((time.perf_counter() - began) / count * 1e6)
    return min(best)

x, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=500).fit(x, y)
a = np.random.default_rng(0).random((64, 64))
print(json.dumps({
    "system call (getppid)": microseconds(os.getppid, 20000),
    "open and close a file": microseconds(lambda: os.close(os.open(__file__, os.O_RDONLY)), 5000),
    "matrix product 64x64": microseconds(lambda: a @ a, 2000),
    "scikit-learn predict, one row": microseconds(lambda: model.predict(x[:1]), 300),
}))
"""

Start = Callable[[Path, Path], str]
"""Runs a script with a scratch folder to its end; returns what it printed."""


def bare(script: Path, scratch: Path) -> str:
    """The same interpreter without a sandbox."""
    command = [sys.executable, "-P", "-s", "-S", "-B", "-u", str(script)]
    environ = {"PYTHONPATH": ":".join(import_path()), "HOME": str(scratch)}
    ended = subprocess.run(command, env=environ, capture_output=True, check=True, timeout=60)
    return ended.stdout.decode()


def shut_in(capabilities: Capabilities) -> Start:
    """In a sandbox of this level."""
    sandbox = Sandbox(capabilities)

    def start(script: Path, scratch: Path) -> str:
        policy = SandboxPolicy(scratch=scratch, memory_bytes=MEMORY)
        with tempfile.TemporaryFile() as output:
            process = sandbox.start(str(script), [], policy, output=output.fileno())
            while process.poll() is None:
                time.sleep(0.002)
            output.seek(0)
            printed = output.read().decode()
        if process.poll() != 0:
            raise RuntimeError(printed)
        return printed

    return start


def milliseconds(starts: Sequence[Start], script: Path, scratch: Path) -> list[float]:
    """Processor time of both parent and child: the median of rounds in which each has its turn."""
    took: list[list[float]] = [[] for _ in starts]
    for _ in range(ROUNDS):
        for start, times in zip(starts, took, strict=True):
            began = _processor_seconds()
            start(script, scratch)
            times.append((_processor_seconds() - began) * 1000)
    return [statistics.median(times) for times in took]


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> int:
    """Print a Markdown table; a column for each level that this host has."""
    able = detect()
    reduced = msgspec.structs.replace(able, namespaces=(), pid_namespaces=())
    names = ["without", "reduced", str(able.level)]
    starts = [bare, shut_in(reduced), shut_in(able)]
    with tempfile.TemporaryDirectory() as folder:
        scratch, script = Path(folder) / "scratch", Path(folder) / "script.py"
        scratch.mkdir()
        print(f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
        for label, code in (("start of nothing", NOTHING), ("start with ONNX Runtime", LIBRARIES)):
            script.write_text(code)
            cells = [f"{value:.0f} ms" for value in milliseconds(starts, script, scratch)]
            print(f"| {label} | {' | '.join(cells)} |")
        script.write_text(CALLS)
        told = [
            msgspec.json.decode(start(script, scratch), type=dict[str, float]) for start in starts
        ]
        for label in told[0]:
            cells = [f"{one[label]:.2f} us" for one in told]
            print(f"| {label} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
