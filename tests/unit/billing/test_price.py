"""A price in words, and what takes its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from modelyard.billing.price import Price, PriceHistory
from modelyard.billing.rate import Rate, Scheme, Tier, Unit
from modelyard.core.clock import microseconds

START = datetime(2026, 1, 1, tzinfo=UTC)


def price(day: int, *rates: Rate, customer: str = "", minimum: str | None = None) -> Price:
    starts = START + timedelta(days=day)
    least = None if minimum is None else Decimal(minimum)
    return Price(f"prc_{day}{customer}", "m", "USD", rates, starts, least, customer)


def at(day: int) -> int:
    return microseconds(START + timedelta(days=day))


def test_a_price_is_told_in_words() -> None:
    tiers = (Tier(Decimal("0.01"), 1000), Tier(Decimal("0.005")))
    told = price(0, Rate(Unit.ROW, tiers, free=5), minimum="3.00").terms
    assert told == (
        "USD per row: 0.01 to 1000, then 0.005, 5 free; at least 3 a month in which it is used"
    )
    assert price(0, Rate(Unit.ROW, tiers, Scheme.VOLUME)).terms.endswith("0.005, by volume")
    tokens = [Rate.flat(unit, Decimal("0.5")) for unit in (Unit.INPUT_TOKEN, Unit.OUTPUT_TOKEN)]
    assert price(0, *tokens).terms == (
        "USD per million input tokens: 0.5; USD per million output tokens: 0.5"
    )


def test_what_will_take_its_place_is_known() -> None:
    one, two, three = (price(day, Rate.flat(Unit.ROW, Decimal(day + 1))) for day in (0, 10, 20))
    history = PriceHistory([three, one, two])
    assert history.later(at(-1)) == [(at(0), one), (at(10), two), (at(20), three)]
    assert history.later(at(10)) == [(at(20), three)]
    assert history.later(at(20)) == []


def test_a_general_price_changes_nothing_for_whom_there_is_a_special_one() -> None:
    general, later = (price(day, Rate.flat(Unit.ROW, Decimal(day + 1))) for day in (0, 10))
    special = price(5, Rate.flat(Unit.ROW, Decimal("0.1")), customer="tnt_a")
    ended = price(15, customer="tnt_a")
    book = [general, later, special, ended]
    mine, others = PriceHistory(book, "tnt_a"), PriceHistory(book, "tnt_b")
    assert mine.at(at(7)) is special
    assert mine.later(at(7)) == [(at(15), later)]
    assert others.later(at(7)) == [(at(10), later)]
