"""What we hold ourselves to, and whether a measurement keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from bench.contenders import BARE, LITSERVE, MLSERVER, OURS, SESSION, TRITON
from bench.results import Results
from bench.scenarios import STANDING, TWO_GATEWAYS

_MB: Final = 1_000_000


class Target(msgspec.Struct, frozen=True):
    """A bound on a value that is computed from the results; None where they lack it.

    It belongs to a server's row in a scenario.
    """

    scenario: str
    server: str
    what: str
    value: Callable[[Results], float | None]
    limit: float
    most: bool
    unit: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """A target and what was measured."""

    scenario: str
    server: str
    what: str
    value: float
    limit: float
    most: bool
    met: bool
    unit: str

    def __str__(self) -> str:
        bound = "at most" if self.most else "at least"
        verdict = "met" if self.met else "NOT MET"
        return f"{self.what} {self.value:.3g}{self.unit} ({bound} {self.limit:g}: {verdict})"


def verdicts(results: Results) -> Iterator[Verdict]:
    """One for each target that the results can be held to."""
    for target in (*TARGETS, *_left_behind(results)):
        value = target.value(results)
        if value is not None:
            met = value <= target.limit if target.most else value >= target.limit
            yield Verdict(
                target.scenario,
                target.server,
                target.what,
                value,
                target.limit,
                target.most,
                met,
                target.unit,
            )


def _to_bare(results: Results) -> float | None:
    row = results.row("B", OURS)
    return row.to_bare.median if row and row.to_bare else None


def _ours_over(letter: str, other: str, other_letter: str) -> Callable[[Results], float | None]:
    """Our processor time in one scenario over another's in another."""

    def value(results: Results) -> float | None:
        ours, theirs = results.row(letter, OURS), results.row(other_letter, other)
        return ours.cpu / theirs.cpu if ours and theirs else None

    return value


def _peer_over_ours(peer: str) -> Callable[[Results], float | None]:
    """A peer's processor time over ours, every process of both counted."""

    def value(results: Results) -> float | None:
        ours, theirs = results.row("B", OURS), results.row("B", peer)
        return theirs.cpu_all / ours.cpu_all if ours and theirs else None

    return value


def _rate_over(
    letter: str, server: str, other_letter: str, other: str
) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        first, second = results.row(letter, server), results.row(other_letter, other)
        return first.rate / second.rate if first and second else None

    return value


def _to_session(letter: str) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        row = results.row(letter, OURS)
        return row.to_session.median if row and row.to_session else None

    return value


def two_over_one(results: Results) -> float | None:
    """Two gateways' rate over one's, as if the load generator had had cores of its own.

    It takes its share of the two cores: the rate is scaled to what was left to the gateways.
    """
    one = results.row(TWO_GATEWAYS, f"{OURS}, 1 gateway")
    two = results.row(TWO_GATEWAYS, f"{OURS}, 2 gateways")
    if one is None or two is None:
        return None
    return two.rate / one.rate * 2 / (2 - two.load_cores)


def _standing(field: str, scale: float = 1) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        return None if results.standing is None else getattr(results.standing, field) / scale

    return value


def _left_behind(results: Results) -> Iterator[Target]:
    """On the dear model at 64 connections every peer is to be slower."""
    for row in results.rows:
        if row.scenario == "F" and row.server not in (BARE, SESSION, OURS):
            ratio = _rate_over("F", OURS, "F", row.server)
            yield Target("F", row.server, "our rate over this one's", ratio, 1.0, most=False)


TARGETS: Final = (
    Target("B", OURS, "CPU of bare's", _to_bare, 1.0, most=True),
    Target("B", OURS, "aimed at", _to_bare, 0.75, most=True),
    Target("B", MLSERVER, "its CPU over ours", _peer_over_ours(MLSERVER), 20, most=False),
    Target("B", LITSERVE, "its CPU over ours", _peer_over_ours(LITSERVE), 20, most=False),
    Target("B", TRITON, "its CPU over ours", _peer_over_ours(TRITON), 8, most=False),
    Target("D", OURS, "CPU of our B's", _ours_over("D", OURS, "B"), 1.4, most=True),
    Target(
        "F",
        OURS,
        "rate of the session's best",
        _rate_over("F", OURS, "F", SESSION),
        0.7,
        most=False,
    ),
    Target("G", OURS, "CPU of decoding and inference alone", _to_session("G"), 1.3, most=True),
    Target("I", OURS, "rate of H's", _rate_over("I", OURS, "H", OURS), 10, most=False),
    Target(
        TWO_GATEWAYS,
        f"{OURS}, 2 gateways",
        "rate of one, generator accounted for",
        two_over_one,
        1.7,
        most=False,
    ),
    Target(
        STANDING,
        OURS,
        "idle memory of a gateway",
        _standing("resident", _MB),
        120,
        most=True,
        unit=" MB",
    ),
    Target(
        STANDING,
        OURS,
        "first answer, from the gateway's start",
        _standing("first_answer"),
        1.5,
        most=True,
        unit=" s",
    ),
    Target(
        STANDING,
        OURS,
        "first answer, from the command's start",
        _standing("first_answer_command"),
        1.5,
        most=True,
        unit=" s",
    ),
)
