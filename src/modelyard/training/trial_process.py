"""Trials in several processes at once: one of the processes.

Run as `python -m modelyard.training.trial_process SCRATCH`; see `trial_processes.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from modelyard.training.trial import Trial
from modelyard.training.trial_processes import OUT_OF_MEMORY, TrialOrder


def main(scratch: Path) -> int:
    """Run trials until there are no more orders; returns the exit status."""
    # What libraries print is no answer.
    with os.fdopen(os.dup(1), "wb", buffering=0) as answers:
        os.dup2(2, 1)
        try:
            _serve(scratch, answers.fileno())
        except MemoryError:
            return OUT_OF_MEMORY
    return 0


def _serve(scratch: Path, answers: int) -> None:
    import polars as pl

    from modelyard.training.groundwork import lay
    from modelyard.training.problem import embeds
    from modelyard.training.search import Search, Searcher
    from modelyard.training.spec import TrainSpec, read_spec
    from modelyard.training.trainers.catalogue import ALGORITHMS

    spec = read_spec(scratch, TrainSpec)
    table = pl.read_parquet(scratch / spec.table)
    # Vectors of texts are made by who gives the orders, and are there when the first one comes.
    ground = None if embeds(spec.algorithm) else lay(table, spec, scratch)
    known: list[Trial] = []
    searcher = None
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=TrialOrder)
        if searcher is None:
            ground = ground or lay(table, spec, scratch)
            algorithm = ALGORITHMS[order.algorithm]
            search = Search(algorithm, ground.problem, ground.rules, ground.parameters)
            searcher = Searcher(search, ground.held.inside)
        known += order.news
        trial = searcher.attempt(order.number, known[: order.known])
        _write(answers, msgspec.json.encode(trial) + b"\n")


def _write(answers: int, rest: bytes) -> None:
    while rest:
        rest = rest[os.write(answers, rest) :]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
