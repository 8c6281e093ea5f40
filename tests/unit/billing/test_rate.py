"""Tiers, against counting unit by unit."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.billing.rate import Rate, Scheme, Tier, Unit
from modelyard.core.errors import Invalid

amounts = st.decimals(0, 1000, places=6)


@st.composite
def rates(draw: st.DrawFn, unit: Unit = Unit.REQUEST) -> Rate:
    bounds = draw(st.lists(st.integers(1, 60), max_size=4, unique=True).map(sorted))
    tiers = (*(Tier(draw(amounts), bound) for bound in bounds), Tier(draw(amounts)))
    return Rate(unit, tiers, draw(st.sampled_from(Scheme)), draw(st.integers(0, 20)))


def one_by_one(rate: Rate, units: int) -> Decimal:
    """What so many units cost, each of them looked up by itself."""

    def amount_of(number: int) -> Decimal:
        return next(t.amount for t in rate.tiers if t.up_to is None or number <= t.up_to)

    charged = range(1, max(0, units - rate.free) + 1)
    if rate.scheme is Scheme.VOLUME:
        return sum((amount_of(len(charged)) for _ in charged), Decimal(0))
    return sum((amount_of(number) for number in charged), Decimal(0))


@given(rates(), st.integers(0, 100))
def test_tiers_cost_what_counting_says(rate: Rate, units: int) -> None:
    assert rate.cost(units) == one_by_one(rate, units)


@given(rates(Unit.COMPUTE_SECOND), st.integers(0, 100))
def test_seconds_are_kept_in_microseconds(rate: Rate, seconds: int) -> None:
    assert rate.cost(seconds * 10**6) == one_by_one(rate, seconds)


@given(rates(Unit.OUTPUT_TOKEN), st.integers(0, 100))
def test_tokens_are_priced_by_the_million(rate: Rate, tokens: int) -> None:
    assert rate.cost(tokens) * 10**6 == one_by_one(rate, tokens)


@given(rates(), st.lists(st.integers(0, 50), max_size=5))
def test_graduated_costs_never_fall(rate: Rate, steps: list[int]) -> None:
    if rate.scheme is Scheme.GRADUATED:
        costs = [rate.cost(units) for units in sorted(steps)]
        assert all(before <= after for before, after in pairwise(costs))


def test_a_part_of_a_second_costs_its_part() -> None:
    assert Rate.flat(Unit.COMPUTE_SECOND, Decimal("0.5")).cost(1) == Decimal("0.0000005")
    assert Rate.flat(Unit.GB_HOUR, Decimal("0.02")).cost(15 * 10**8) == Decimal("0.03")


@pytest.mark.parametrize(
    ("tiers", "free"),
    [
        ((), 0),
        ((Tier(Decimal(1), 5),), 0),
        ((Tier(Decimal(1)), Tier(Decimal(1))), 0),
        ((Tier(Decimal(1), 5), Tier(Decimal(1), 5), Tier(Decimal(1))), 0),
        ((Tier(Decimal(1), 0), Tier(Decimal(1))), 0),
        ((Tier(Decimal(-1)),), 0),
        ((Tier(Decimal("NaN")),), 0),
        ((Tier(Decimal(1)),), -1),
        ((Tier(Decimal(1)),), 10**16),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(tiers: tuple[Tier, ...], free: int) -> None:
    with pytest.raises(Invalid):
        Rate(Unit.ROW, tiers, free=free)
