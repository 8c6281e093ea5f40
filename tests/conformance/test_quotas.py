"""Quotas and budgets, as every store keeps them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from modelyard.adapters.memory import MemoryControlPlane
from modelyard.adapters.store import SqlControlPlane
from modelyard.billing.rate import Rate, Unit
from modelyard.core import ids
from modelyard.core.clock import ManualClock, microseconds
from modelyard.core.errors import NotFound
from modelyard.core.events import GONE, PredictionMade
from modelyard.core.pages import PageRequest
from modelyard.core.quotas import PICO, Measure, Period
from modelyard.tenancy.budgets import Budgets
from modelyard.tenancy.quota import AlertKind, Quota
from tests.conformance.samples import OURS, THEIRS, a_price, an_event
from tests.conformance.stores import AnyStore

NOW = ManualClock().now()

AnyControlPlane = SqlControlPlane | MemoryControlPlane


def a_quota(
    measure: Measure = Measure.ROWS,
    period: Period = Period.DAY,
    amount: int = 100,
    *,
    tenant_id: str = OURS,
    key_id: str | None = None,
    alert_at: int = 0,
    imposed: bool = False,
) -> Quota:
    return Quota(
        id=ids.new_id(ids.QUOTA),
        tenant_id=tenant_id,
        key_id=key_id,
        measure=measure,
        period=period,
        amount=amount,
        strict=True,
        alert_at=alert_at,
        imposed=imposed,
        zone="UTC",
        created_at=NOW,
        updated_at=NOW,
        opened=not period.is_budget,
    )


def put(store: AnyStore, quota: Quota) -> Quota:
    with store.begin() as tx:
        return tx.quotas(quota.tenant_id).put(quota)


def listed(store: AnyStore, tenant_id: str = OURS) -> list[Quota]:
    with store.read() as tx:
        return tx.quotas(tenant_id).list(PageRequest()).items


def ingest(store: AnyStore, *events: PredictionMade) -> None:
    with store.begin() as tx:
        tx.ledger().append("jrn_a", 0, events)
        tx.budgets().charge(events)


def spent(store: AnyStore, quota: Quota) -> tuple[int, int]:
    with store.read() as tx:
        return tx.quotas(quota.tenant_id).spent([quota.id])[quota.id]


def test_any_tenant_may_call(store: AnyStore) -> None:
    with store.read() as tx:
        assert {OURS, THEIRS} <= set(tx.budgets().callers())


@pytest.fixture
def budgets(store: AnyStore, clock: ManualClock) -> Budgets:
    return Budgets(store, clock)


def test_a_quota_takes_the_place_of_the_one_before(store: AnyStore) -> None:
    first = put(store, a_quota(amount=100))
    second = put(store, a_quota(amount=7))
    other = put(store, a_quota(amount=7, key_id="key_a"))
    imposed = put(store, a_quota(amount=9, imposed=True))
    assert second == replace(first, amount=7)
    together, each = (
        put(store, replace(a_quota(), deployment="m", each_caller=each)) for each in (False, True)
    )
    assert put(store, replace(a_quota(amount=3), deployment="m")) == replace(together, amount=3)
    assert listed(store) == [each, replace(together, amount=3), imposed, other, second]
    assert listed(store, THEIRS) == []


def test_quotas_are_their_tenants_alone(store: AnyStore) -> None:
    quota = put(store, a_quota())
    with store.begin() as tx:
        theirs = tx.quotas(THEIRS)
        for act in (theirs.get, theirs.remove):
            with pytest.raises(NotFound):
                act(quota.id)
        assert theirs.spent([quota.id]) == {}
        tx.quotas(OURS).remove(quota.id)
        with pytest.raises(NotFound):
            tx.quotas(OURS).get(quota.id)


def test_a_budget_is_opened_with_what_the_ledger_knows_and_charged_from_there(
    store: AnyStore, budgets: Budgets
) -> None:
    at = microseconds(NOW)
    ingest(store, an_event(rows=5), an_event(rows=3, status=500))
    quota = put(store, a_quota(key_id="key_a"))
    other = put(store, a_quota(key_id="key_b"))
    # Before it is opened nothing is charged to it: it would count twice.
    ingest(store, an_event(rows=4))
    assert budgets.open() == 2
    assert budgets.open() == 0
    assert spent(store, quota) == (at, 9)
    assert spent(store, other) == (at, 0)
    ingest(store, an_event(rows=2), replace(an_event(), tenant_id=THEIRS))
    ingest(store, an_event(rows=2, key_id="key_b"))
    assert spent(store, quota) == (at, 11)
    assert spent(store, other) == (at, 2)


def test_what_is_used_counts_in_the_period_in_which_the_request_began(
    store: AnyStore, budgets: Budgets, clock: ManualClock
) -> None:
    quota = put(store, a_quota())
    budgets.open()
    clock.advance(86_400)
    day = 86_400_000_000
    today = replace(an_event(rows=2), at=microseconds(clock.now()))
    late = replace(an_event(rows=4), at=today.at - 1)
    ingest(store, an_event(rows=1), today, late)
    assert spent(store, quota) == (microseconds(NOW) + day, 2)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (Measure.REQUESTS, 1),
        (Measure.ROWS, 6),
        (Measure.TOKENS, 10 + 20 + 7 + 8),
        (Measure.MONEY, (2 * PICO) + 6 * (PICO // 4) + 45 * PICO // 10**6),
    ],
)
def test_each_measure_counts_what_is_charged(
    store: AnyStore, budgets: Budgets, measure: Measure, expected: int
) -> None:
    amounts = {Unit.REQUEST: "2", Unit.ROW: "0.25", Unit.INPUT_TOKEN: "1", Unit.OUTPUT_TOKEN: "1"}
    rates = tuple(Rate.flat(unit, Decimal(amount)) for unit, amount in amounts.items())
    with store.begin() as tx:
        tx.prices(OURS).add(replace(a_price("1"), rates=rates))
    tokens = {"prompt_tokens": 10, "completion_tokens": 20}
    events = [
        replace(an_event(rows=6), **tokens),
        replace(an_event(rows=9, status=400), **tokens),
        replace(an_event(status=GONE), prompt_tokens=7, completion_tokens=8),
    ]
    before, after = put(store, a_quota(measure)), put(store, a_quota(measure, Period.TOTAL))
    with store.begin() as tx:
        tx.budgets().open(after.id, 0, 0)
    ingest(store, *events)
    budgets.open()
    assert spent(store, before)[1] == expected
    assert spent(store, after) == (0, expected)


def test_each_alert_is_told_once_in_a_period(
    store: AnyStore, budgets: Budgets, clock: ManualClock
) -> None:
    quota = put(store, a_quota(amount=10, alert_at=50, key_id="key_a"))
    budgets.open()
    ingest(store, an_event(rows=4))
    assert budgets.tell() == 0
    ingest(store, an_event(rows=1))
    assert (budgets.tell(), budgets.tell()) == (1, 0)
    ingest(store, an_event(rows=9))
    assert (budgets.tell(), budgets.tell()) == (1, 0)
    with store.read() as tx:
        told = tx.quotas(OURS).alerts(PageRequest()).items
        assert tx.quotas(THEIRS).alerts(PageRequest()).items == []
    assert [(each.kind, each.spent, each.amount) for each in told] == [
        (AlertKind.SPENT, 14, 10),
        (AlertKind.NEARLY, 5, 10),
    ]
    assert {(each.quota_id, each.key_id) for each in told} == {(quota.id, "key_a")}

    # A larger amount is news, and so is a new day.
    put(store, a_quota(amount=20, alert_at=50, key_id="key_a"))
    assert (budgets.tell(), budgets.tell()) == (1, 0)
    clock.advance(86_400)
    assert budgets.tell() == 0


def test_gateways_are_told_of_what_is_in_force_and_what_was_spent_of_it(
    store: AnyStore, control: AnyControlPlane, budgets: Budgets
) -> None:
    limit = put(store, a_quota(Measure.REQUESTS, Period.MINUTE))
    budget = put(store, a_quota(key_id="key_a"))
    assert [quota.id for quota in control.wanted().quotas] == [limit.id]
    revision = control.revision()
    budgets.open()
    assert control.revision() > revision
    ingest(store, an_event(rows=4))
    told = {quota.id: quota for quota in control.wanted().quotas}
    assert told.keys() == {limit.id, budget.id}
    assert (told[budget.id].since, told[budget.id].spent) == (microseconds(NOW), 4)
    assert (told[budget.id].key_id, told[limit.id].key_id) == ("key_a", None)
