"""What is measured, as data."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

LOGISTIC: Final = "logistic"
FOREST: Final = "forest"
NETWORK: Final = "network"
IMAGE: Final = "image"

TWO_GATEWAYS: Final = "J"
STANDING: Final = "K"
"""What a server costs that answers nothing: its memory and its start."""


class Scenario(msgspec.Struct, frozen=True):
    """One request, sent again and again by `connections` clients that each wait for the answer.

    `batched`: the in-process reference is the session alone, at the batch size that suits it best.
    """

    letter: str
    title: str
    model: str
    connections: int
    rows: int = 1
    form: Literal["json", "binary"] = "json"
    batched: bool = False


SCENARIOS: Final = (
    Scenario("B", "logistic regression, 1 row of 64", LOGISTIC, 16),
    Scenario("C", "logistic regression, 1 row of 64", LOGISTIC, 64),
    Scenario("D", "random forest of 100 trees, 1 row of 64", FOREST, 16),
    Scenario("E", "2,048-wide network, 1 row of 64", NETWORK, 16, batched=True),
    Scenario("F", "2,048-wide network, 1 row of 64", NETWORK, 64, batched=True),
    Scenario("G", "logistic regression, 256 rows of 64", LOGISTIC, 8, rows=256),
    Scenario("H", "1x3x224x224 floats as JSON", IMAGE, 4),
    Scenario("I", "1x3x224x224 floats as binary data", IMAGE, 4, form="binary"),
)

LETTERS: Final = (*(scenario.letter for scenario in SCENARIOS), TWO_GATEWAYS, STANDING)


def scenario(letter: str) -> Scenario:
    """The scenario of this letter."""
    return next(each for each in SCENARIOS if each.letter == letter)


def chosen(letters: str) -> list[str]:
    """The letters of a list such as `B,D`, in the table's order; all of them for an empty one.

    Raises:
        ValueError: a letter that no scenario has.
    """
    wanted = {letter.strip().upper() for letter in letters.split(",") if letter.strip()}
    unknown = wanted - set(LETTERS)
    if unknown:
        raise ValueError(f"no scenario {', '.join(sorted(unknown))}; there are {' '.join(LETTERS)}")
    return [letter for letter in LETTERS if not wanted or letter in wanted]
