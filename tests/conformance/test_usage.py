from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from modelyard.adapters.memory import MemoryStore
from modelyard.billing.rate import Rate, Scheme, Tier, Unit
from modelyard.billing.usage import Side, UsageBy, UsageQuery, UsageSum
from modelyard.core.errors import Conflict
from modelyard.core.events import GONE, PredictionMade
from modelyard.core.metering import Quantities, quantities
from tests.conformance.samples import OURS, START, THEIRS, a_price, an_event
from tests.conformance.stores import AnyStore

DAY = 86_400.0


def ingest(store: AnyStore, *events: PredictionMade, journal: str = "jrn_a", end: int = 0) -> None:
    with store.begin() as tx:
        tx.ledger().append(journal, end, events)


def sums(
    store: AnyStore, *by: UsageBy, tenant_id: str = OURS, side: Side = Side.USED
) -> list[UsageSum]:
    with store.read() as tx:
        return tx.usage(tenant_id).sums(UsageQuery(by or (UsageBy.DAY,), side=side))


def count(store: AnyStore) -> int:
    return sum(line.requests + line.errors for line in sums(store))


def test_prices_are_exact_and_listed_newest_first(store: AnyStore) -> None:
    prices = [
        a_price("0.000000000001"),
        a_price("123456789012345678.123456789012", seconds=1, unit=Unit.ROW),
        a_price("0.10", seconds=1),
    ]
    with store.begin() as tx:
        for price in prices:
            tx.prices(OURS).add(price)
    with store.read() as tx:
        listed = tx.prices(OURS).list()
        assert listed == prices[::-1]
        assert str(listed[0].rates[0].tiers[0].amount) == "0.10"
        amounts = listed[1].unit_amounts
        assert amounts == {Unit.ROW: Decimal("123456789012345678.123456789012")}
        assert tx.prices(THEIRS).list() == []


def test_a_segment_is_ingested_once(store: AnyStore) -> None:
    events = [an_event(number) for number in range(5)]
    ingest(store, *events, end=500)
    ingest(store, *events, end=500)
    assert count(store) == 5
    with store.read() as tx:
        assert tx.ledger().offset("jrn_a") == 500
        assert tx.ledger().offset("jrn_b") == 0


def test_overlapping_segments_add_what_is_new(store: AnyStore) -> None:
    events = [an_event(number) for number in range(6)]
    ingest(store, *events[:4], end=400)
    ingest(store, *events[2:], end=600)
    ingest(store, *events[:1], end=100)
    assert count(store) == 6
    with store.read() as tx:
        assert tx.ledger().offset("jrn_a") == 600


def test_a_segment_without_events_moves_the_offset(store: AnyStore) -> None:
    ingest(store, end=8)
    with store.read() as tx:
        assert tx.ledger().offset("jrn_a") == 8


def test_a_request_is_counted_once_within_a_segment(store: AnyStore) -> None:
    event = an_event()
    ingest(store, event, event)
    assert count(store) == 1


def test_the_price_is_the_one_in_force_when_the_request_began(store: AnyStore) -> None:
    first, second = a_price("1", seconds=10), a_price("2", seconds=20, unit=Unit.ROW)
    with store.begin() as tx:
        tx.prices(OURS).add(second)
        tx.prices(OURS).add(first)
        tx.prices(OURS).add(a_price("9", deployment="fraud"))
        tx.prices(THEIRS).add(a_price("9"))
    ingest(store, *(an_event(seconds) for seconds in (9.999999, 10, 19.999999, 20, 1000)))
    assert [(line.price_id, line.requests) for line in sums(store)] == [
        (None, 1),
        (first.id, 2),
        (second.id, 2),
    ]


def test_a_later_price_leaves_what_is_in_alone(store: AnyStore) -> None:
    event = an_event(5)
    ingest(store, event)
    with store.begin() as tx:
        tx.prices(OURS).add(a_price("1"))
    ingest(store, event, an_event(6))
    assert [line.price_id is None for line in sums(store)] == [True, False]


def test_of_two_prices_from_one_moment_the_later_made_holds(store: AnyStore) -> None:
    earlier, later = a_price("1"), a_price("2")
    with store.begin() as tx:
        tx.prices(OURS).add(later)
        tx.prices(OURS).add(earlier)
    ingest(store, an_event())
    assert [line.price_id for line in sums(store)] == [later.id]


def test_tokens_count_also_of_answers_that_were_left_or_broken_off(store: AnyStore) -> None:
    ingest(
        store,
        *(
            replace(an_event(status=status), prompt_tokens=7, cached_tokens=3, completion_tokens=5)
            for status in (200, GONE, 504)
        ),
    )
    [line] = sums(store)
    assert (line.prompt_tokens, line.cached_tokens, line.completion_tokens) == (21, 9, 15)
    assert (line.requests, line.errors) == (1, 2)


def test_all_that_a_price_says_is_kept(store: AnyStore) -> None:
    tiers = (Tier(Decimal("0.150000000001"), 10), Tier(Decimal("0.1")))
    price = replace(
        a_price("1"),
        rates=(
            Rate(Unit.INPUT_TOKEN, tiers, Scheme.VOLUME, free=7),
            Rate.flat(Unit.COMPUTE_SECOND, Decimal("0.60")),
        ),
        minimum=Decimal("5.00"),
        customer_id=THEIRS,
    )
    with store.begin() as tx:
        tx.prices(OURS).add(price)
    with store.read() as tx:
        assert tx.prices(OURS).list() == [price]
        assert tx.ledger().prices({price.id, "prc_none"}) == {price.id: price}


def test_a_price_for_one_customer_comes_before_the_general_one(store: AnyStore) -> None:
    general, later = a_price("1"), a_price("2", seconds=20)
    special = replace(a_price("9", seconds=10), customer_id=THEIRS)
    over = replace(a_price("9", seconds=30), customer_id=THEIRS, rates=())
    with store.begin() as tx:
        for price in (general, later, special, over):
            tx.prices(OURS).add(price)
    for seconds in (5, 15, 25, 35):
        ingest(store, an_event(seconds), replace(an_event(seconds, THEIRS), owner_id=OURS))
    own = {line.price_id: line.requests for line in sums(store)}
    assert own == {general.id: 2, later.id: 2}
    theirs = {line.price_id: line.requests for line in sums(store, tenant_id=THEIRS)}
    assert theirs == {general.id: 1, special.id: 2, later.id: 1}


@pytest.mark.parametrize("status", [200, 201, 302, 399, 400, 404, 422, 429, 499, 500, 503, 504])
def test_each_store_charges_for_what_the_rule_says(store: AnyStore, status: int) -> None:
    event = replace(
        an_event(status=status, rows=4), prompt_tokens=7, cached_tokens=3, completion_tokens=5,
        compute=11,
    )  # fmt: skip
    ingest(store, event)
    [line] = sums(store)
    assert line.quantities == quantities(event)
    produced = Quantities(0, 0, 4, 3, 5, 11)
    if status < 400:
        assert line.quantities == produced + Quantities(1, 4)
    else:
        assert line.quantities == (produced if status >= GONE else Quantities())


def test_who_served_and_who_used(store: AnyStore) -> None:
    ingest(
        store,
        an_event(),
        replace(an_event(tenant_id=THEIRS), owner_id=OURS),
        replace(an_event(tenant_id=THEIRS), owner_id=OURS),
        an_event(tenant_id=THEIRS),
    )
    by = (UsageBy.TENANT, UsageBy.DEPLOYMENT)
    served = [(line.groups, line.requests) for line in sums(store, *by, side=Side.SERVED)]
    assert served == [((OURS, "churn"), 1), ((THEIRS, "churn"), 2)]
    assert [line.requests for line in sums(store, *by, tenant_id=THEIRS)] == [3]
    assert [line.requests for line in sums(store, *by, side=Side.ALL)] == [1, 3]


def test_usage_is_added_up_by_each_group(store: AnyStore) -> None:
    ingest(
        store,
        an_event(0, rows=3),
        an_event(DAY - 0.000001, key_id="key_b", status=422),
        an_event(DAY, deployment="a-fraud", status=399, rows=2),
        an_event(0, tenant_id=THEIRS),
    )
    assert sums(store, UsageBy.DAY) == [
        UsageSum(("2026-01-01",), None, 1, 1, 3, 200, 20, 4_000),
        UsageSum(("2026-01-02",), None, 1, 0, 2, 100, 10, 2_000),
    ]
    assert sums(store, UsageBy.KEY) == [
        UsageSum(("key_a",), None, 2, 0, 5, 200, 20, 4_000),
        UsageSum(("key_b",), None, 0, 1, 0, 100, 10, 2_000),
    ]
    by_model = [
        UsageSum(("a-fraud",), None, 1, 0, 2, 100, 10, 2_000),
        UsageSum(("churn",), None, 1, 1, 3, 200, 20, 4_000),
    ]
    assert sums(store, UsageBy.MODEL) == sums(store, UsageBy.DEPLOYMENT) == by_model
    assert [line.requests for line in sums(store, tenant_id=THEIRS)] == [1]


def test_a_query_takes_since_and_leaves_until(store: AnyStore) -> None:
    ingest(store, *(an_event(seconds) for seconds in (0, 1, 2, 3)))
    since, until = START + timedelta(seconds=1), START + timedelta(seconds=3)
    with store.read() as tx:
        usage = tx.usage(OURS)
        assert [s.requests for s in usage.sums(UsageQuery(since=since, until=until))] == [2]
        assert [s.requests for s in usage.sums(UsageQuery(since=since))] == [3]
        assert [s.requests for s in usage.sums(UsageQuery(until=until))] == [3]
        assert usage.sums(UsageQuery(since=until, until=since)) == []


def test_answers_from_the_cache_are_counted_among_the_requests(store: AnyStore) -> None:
    hits = [replace(an_event(number), cached=True) for number in range(3)]
    ingest(store, *hits, an_event(7), an_event(8, status=500))
    (line,) = sums(store)
    assert (line.requests, line.errors, line.cached) == (4, 1, 3)


def test_who_calls_a_deployment_of_another_pays_the_price_in_its_owners_book(
    store: AnyStore,
) -> None:
    price = a_price("1")
    with store.begin() as tx:
        tx.prices(THEIRS).add(price)
        tx.prices(OURS).add(a_price("9"))
    ingest(store, replace(an_event(), owner_id=THEIRS))
    assert [(line.price_id, line.requests) for line in sums(store)] == [(price.id, 1)]
    assert sums(store, tenant_id=THEIRS) == []


def test_what_is_in_the_ledger_stays_as_it_is(store: AnyStore) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("what holds nothing for long guards nothing")
    ingest(store, an_event())
    for change in ("UPDATE usage_events SET rows = 0", "DELETE FROM usage_events"):
        # Each database has its own kind of error; both are the store's, and both say why.
        with (
            pytest.raises((Conflict, DBAPIError)) as refused,
            store.connection(writes=True) as connection,
        ):
            connection.execute(text(change))
        assert "append-only" in str(refused.value.__cause__ or refused.value)
    assert count(store) == 1
