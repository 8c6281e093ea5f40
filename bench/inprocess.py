"""The other reference: what the model costs when no server is there at all.

Runs as a process of its own, on the server's core.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from bench.bare import read
from modelyard.serving.runtimes.onnx import open_session


class Work(msgspec.Struct):
    """A graph and a request for it. `batches` are the rows to try in one call, if any."""

    graph: str
    body: bytes
    header_length: int | None
    seconds: float
    batches: list[int]


class Done(msgspec.Struct):
    """Requests a second, processor microseconds of each, and the rows of a call."""

    rate: float
    cpu: float
    batch: int


def run(work: Work) -> Done:
    """Decode and infer, or, with batches, infer alone with the best of them."""
    session = open_session(Path(work.graph).read_bytes())
    if not work.batches:
        return _timed(
            lambda: session.run(None, {"X": read(work.body, work.header_length)}), 1, work.seconds
        )
    row = read(work.body, work.header_length)
    return _best(
        [
            _timed(_call(session.run, np.repeat(row, size, axis=0)), size, work.seconds)
            for size in work.batches
        ]
    )


def _call(
    run: Callable[..., object], rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> Callable[[], object]:
    return lambda: run(None, {"X": rows})


def _best(tried: Sequence[Done]) -> Done:
    return max(tried, key=lambda done: done.rate)


def _timed(call: Callable[[], object], batch: int, seconds: float) -> Done:
    for _ in range(3):
        call()
    start, start_cpu, calls = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        call()
        calls += 1
    rows = calls * batch
    cpu = time.process_time() - start_cpu
    return Done(rows / (time.perf_counter() - start), cpu / rows * 1e6, batch)


def main() -> None:
    """Read the work from standard input, write what it cost to standard output."""
    work = msgspec.json.decode(sys.stdin.buffer.read(), type=Work)
    sys.stdout.buffer.write(msgspec.json.encode(run(work)))


if __name__ == "__main__":
    main()
