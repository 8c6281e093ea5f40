"""Run the benchmark, print its table, and write the same as JSON."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from bench.contenders import TITLES
from bench.environments import ROOT
from bench.machine import machine
from bench.publish import publish
from bench.report import print_table
from bench.results import results
from bench.rounds import Plan, measure
from bench.scenarios import LETTERS, chosen
from bench.targets import verdicts

_BUSY = 0.5
"""A load average beyond this before the start disturbs what is measured."""


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.publish and (given.quick or set(given.scenarios) != set(LETTERS)):
        parser.error("what is published is all scenarios, at length")
    cores = sorted(os.sched_getaffinity(0))
    plan = Plan(
        letters=given.scenarios,
        peers=given.peers,
        runs=given.runs or (1 if given.quick else 3 if given.peers else 5),
        seconds=given.seconds or (1.0 if given.quick else 3.0),
        server_core=cores[0],
        load_core=cores[-1],
    )
    load_average = os.getloadavg()[0]
    if load_average > _BUSY:
        _say(f"bench: the machine is busy (load average {load_average:.1f}): expect noise")
    measured = measure(plan, _say)
    found = results(
        machine(
            plan.server_core,
            plan.load_core,
            plan.runs,
            plan.seconds,
            load_average,
            measured.versions,
        ),
        measured,
    )
    given.json.parent.mkdir(parents=True, exist_ok=True)
    whole = {"verdicts": list(verdicts(found)), **msgspec.structs.asdict(found)}
    given.json.write_bytes(msgspec.json.format(msgspec.json.encode(whole)) + b"\n")
    console = Console()
    print_table(found, console if console.is_terminal else Console(width=200))
    _say(f"bench: written to {given.json}")
    if given.publish:
        publish(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("bench", description="Measure the gateway.")
    parser.add_argument(
        "--scenarios", type=_letters, default=chosen(""), help=f"some of {' '.join(LETTERS)}: B,D"
    )
    parser.add_argument(
        "--peers",
        type=_peers,
        default=[],
        help=f"also measure these, installing them first: all, or some of {','.join(TITLES)}",
    )
    parser.add_argument(
        "--runs", type=int, help="interleaved runs of each server: 5, or 3 with peers"
    )
    parser.add_argument("--seconds", type=float, help="length of one run: 3")
    parser.add_argument("--quick", action="store_true", help="one run of one second")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "bench/results/latest.json", help="where to write it"
    )
    parser.add_argument(
        "--publish", action="store_true", help="rewrite the page's table and its picture"
    )
    return parser


def _letters(text: str) -> list[str]:
    try:
        return chosen(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _peers(names: str) -> list[str]:
    wanted = list(TITLES) if names in ("all", "1") else names.split(",")
    unknown = set(wanted) - set(TITLES)
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no peer {', '.join(sorted(unknown))}")
    return wanted


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
