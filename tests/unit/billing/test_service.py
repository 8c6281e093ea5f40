"""What was used and what it costs, exactly, on the real database."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from modelyard.adapters.store import SqlStore
from modelyard.billing.price import Price, PriceHistory
from modelyard.billing.rate import Rate, Unit
from modelyard.billing.service import BillingService, NewPrice
from modelyard.billing.usage import UsageBy, UsageLine, UsageQuery
from modelyard.core.clock import ManualClock, microseconds
from modelyard.core.errors import Conflict, Invalid
from modelyard.core.events import GONE, PredictionMade
from modelyard.tenancy.tenant import Tenant
from tests.databases import store_at

TENANT = "tnt_1"
START = datetime(2026, 1, 1, 23, 59, 58, tzinfo=UTC)


class World:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(START)
        self.store: SqlStore = store_at(folder / "db")
        self.billing = BillingService(self.store, self.clock, "USD")
        self._count = 0
        with self.store.begin() as tx:
            for name in (TENANT, "tnt_2"):
                tx.tenants().add(Tenant(name, name, START))

    def used(
        self, rows: int = 1, status: int = 200, deployment: str = "churn", key: str = "key_1",
        tenant: str = TENANT, tokens: tuple[int, int, int] = (0, 0, 0),
    ) -> None:  # fmt: skip
        self._count += 1
        event = PredictionMade(
            f"req_{self._count}", microseconds(self.clock.now()), tenant, key, deployment,
            f"m-{deployment}", 1, status, rows, 10, 20, 3000, False, *tokens,
        )  # fmt: skip
        with self.store.begin() as tx:
            tx.ledger().append("jrn_1", self._count, [event])

    def lines(
        self,
        by: UsageBy = UsageBy.DEPLOYMENT,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[UsageLine]:
        return self.billing.usage(TENANT, UsageQuery((by,), since, until))

    def price(self, deployment: str, *rates: tuple[Unit, str], tenant: str = TENANT) -> Price:
        flat = tuple(Rate.flat(unit, Decimal(amount)) for unit, amount in rates)
        return self.billing.set_price(tenant, NewPrice(deployment, flat))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def test_a_price_per_request_and_one_per_row(world: World) -> None:
    world.price("churn", (Unit.REQUEST, "0.001"))
    world.price("spam", (Unit.ROW, "0.000000000001"))
    for _ in range(3):
        world.used(rows=5)
        world.used(rows=7, deployment="spam")
    churn, spam = world.lines()
    assert (churn.groups[0], churn.requests, churn.rows, str(churn.cost)) == (
        "churn",
        3,
        15,
        "0.003",
    )
    assert (spam.groups[0], spam.cost, spam.currency) == ("spam", Decimal("0.000000000021"), "USD")
    assert (spam.bytes_in, spam.bytes_out, spam.mean_ms) == (30, 60, 3.0)


def test_tokens_have_a_price_a_million_of_each_kind(world: World) -> None:
    world.price(
        "chat",
        (Unit.INPUT_TOKEN, "0.15"),
        (Unit.CACHED_TOKEN, "0.01"),
        (Unit.OUTPUT_TOKEN, "0.60"),
    )
    world.used(deployment="chat", tokens=(1000, 400, 7))
    world.used(deployment="chat", tokens=(1000, 0, 3), status=GONE)
    [line] = world.lines()
    # 1,600 at 0.15, 400 at 0.01 and 10 at 0.60, each a million.
    assert line.cost == Decimal("0.000250")
    assert (line.prompt_tokens, line.cached_tokens, line.completion_tokens) == (2000, 400, 10)


def test_what_failed_costs_nothing(world: World) -> None:
    world.price("churn", (Unit.REQUEST, "1"))
    for status in (400, 413, 500, 503):
        world.used(rows=0, status=status)
    [line] = world.lines()
    assert (line.requests, line.errors, line.cost) == (0, 4, Decimal(0))


def test_what_was_used_before_a_price_keeps_the_one_before(world: World) -> None:
    world.used()
    world.clock.advance(1)
    world.price("churn", (Unit.REQUEST, "1"))
    world.used()
    world.clock.advance(1)
    world.price("churn", (Unit.ROW, "0.5"))
    world.used(rows=3)
    world.clock.advance(1)
    world.price("churn", (Unit.REQUEST, "0"))
    world.used()
    [line] = world.lines()
    assert (line.requests, line.cost) == (4, Decimal("2.5"))


def test_without_a_price_there_is_no_cost_which_is_not_zero(world: World) -> None:
    world.used()
    [line] = world.lines()
    assert (line.cost, line.currency) == (None, None)


def test_groups(world: World) -> None:
    world.price("churn", (Unit.REQUEST, "0.1"))
    world.used()
    world.used(key="key_2")
    world.clock.advance(2)
    world.used(deployment="spam")
    world.used(tenant="tnt_2")
    days = [(line.groups[0], line.requests, line.cost) for line in world.lines(UsageBy.DAY)]
    assert days == [("2026-01-01", 2, Decimal("0.2")), ("2026-01-02", 1, None)]
    keys = [(line.groups[0], line.requests) for line in world.lines(UsageBy.KEY)]
    assert keys == [("key_1", 2), ("key_2", 1)]
    models = [(line.groups[0], line.requests) for line in world.lines(UsageBy.MODEL)]
    assert models == [("m-churn", 2), ("m-spam", 1)]


def test_since_is_inside_and_until_outside(world: World) -> None:
    for _ in range(3):
        world.used()
        world.clock.advance(1)
    middle = START + timedelta(seconds=1)
    assert [line.requests for line in world.lines(since=middle)] == [2]
    assert [line.requests for line in world.lines(until=middle)] == [1]
    assert world.lines(since=START + timedelta(seconds=3)) == []
    with pytest.raises(Invalid, match="since must be before until"):
        world.lines(since=middle, until=middle)


def test_the_price_book_is_newest_first_and_a_tenants_own(world: World) -> None:
    first = world.price("churn", (Unit.REQUEST, "1"))
    world.clock.advance(1)
    second = world.price("churn", (Unit.REQUEST, "2"))
    assert world.billing.prices(TENANT) == [second, first]
    assert world.billing.prices("tnt_2") == []


def test_prices_in_two_currencies_would_have_no_sum(world: World) -> None:
    world.price("churn", (Unit.REQUEST, "1"))
    world.used()
    changed = BillingService(world.store, world.clock, "EUR")
    with pytest.raises(Conflict, match="prices in USD"):
        changed.set_price(TENANT, NewPrice("churn", (Rate.flat(Unit.REQUEST, Decimal("1")),)))
    assert changed.usage(TENANT, UsageQuery())[0].currency == "USD"
    changed.set_price("tnt_2", NewPrice("churn", (Rate.flat(Unit.REQUEST, Decimal("1")),)))


def test_of_two_prices_of_one_moment_the_later_made_holds() -> None:
    one = Price("prc_1", "d", "USD", (Rate.flat(Unit.ROW, Decimal(1)),), START)
    two = Price("prc_2", "d", "USD", (Rate.flat(Unit.ROW, Decimal(2)),), START)
    at = microseconds(START)
    for given in ([one, two], [two, one]):
        history = PriceHistory(given)
        assert history.at(at) == two
        assert history.at(at - 1) is None
