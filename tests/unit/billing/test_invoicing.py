"""Invoices, drawn up from the real ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from modelyard.adapters.store import SqlStore
from modelyard.billing.credit import CreditKind
from modelyard.billing.invoice import Invoice, InvoiceState
from modelyard.billing.invoicing import InvoicingService
from modelyard.billing.period import month_of, named_month, zone_of
from modelyard.billing.profile import BillingProfile, Party
from modelyard.billing.rate import Rate, Scheme, Tier, Unit
from modelyard.billing.service import BillingService, NewPrice
from modelyard.core.clock import ManualClock, microseconds
from modelyard.core.errors import Conflict, Invalid, ModelyardError, NotFound
from modelyard.core.events import PredictionMade
from modelyard.core.pages import PageRequest
from modelyard.tenancy.tenant import Tenant
from tests.databases import store_at

START = datetime(2026, 1, 10, tzinfo=UTC)
DAY = timedelta(days=1)
ISSUER, CUSTOMER, PUBLISHER = "tnt_issuer", "tnt_customer", "tnt_publisher"


class World:
    def __init__(self, path: Path) -> None:
        self.store: SqlStore = store_at(path)
        self.clock = ManualClock(START)
        self.billing = BillingService(self.store, self.clock, "EUR")
        self.invoicing = InvoicingService(self.store, self.clock, "EUR", "default")
        self._count = 0
        with self.store.begin() as tx:
            for tenant_id, name in ((ISSUER, "default"), (CUSTOMER, "acme"), (PUBLISHER, "lab")):
                tx.tenants().add(Tenant(tenant_id, name, START))

    def price(self, *rates: Rate, minimum: str | None = None, customer: str = "") -> None:
        least = None if minimum is None else Decimal(minimum)
        self.billing.set_price(PUBLISHER, NewPrice("churn", rates, least, customer))

    def used(self, at: datetime, count: int = 1, status: int = 200, rows: int = 1) -> None:
        """By the customer, of the publisher's deployment."""
        events = []
        for _ in range(count):
            self._count += 1
            events.append(
                PredictionMade(
                    f"req_{self._count}", microseconds(at), CUSTOMER, "key_1", "churn", "churn", 1,
                    status, rows if status < 400 else 0, 1, 1, 1, owner_id=PUBLISHER,
                )
            )  # fmt: skip
        with self.store.begin() as tx:
            tx.ledger().append("jrn_1", self._count, events)

    def profile(self, zone: str = "UTC", rate: str = "0") -> None:
        party = Party("Acme Ltd", ("1 Road", "Town"), "GB1")
        profile = BillingProfile(party, zone, Decimal(rate), "VAT")
        self.invoicing.set_profile(CUSTOMER, profile)

    def until(self, moment: datetime) -> None:
        self.clock.advance((moment - self.clock.now()).total_seconds())

    def issue(self) -> Invoice:
        return self.invoicing.finalise(CUSTOMER, self.invoicing.draft(CUSTOMER).id)

    def in_force(self) -> list[Invoice]:
        with self.store.read() as tx:
            return tx.invoices(CUSTOMER).in_force()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "db")
    yield made
    made.store.close()


def flat(amount: str, unit: Unit = Unit.REQUEST) -> Rate:
    return Rate.flat(unit, Decimal(amount))


def charged(invoice: Invoice) -> list[tuple[str, int, str]]:
    return [
        (line.charge.unit or "minimum", line.charge.quantity, str(line.charge.amount))
        for line in invoice.document.lines
    ]


FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_month_from_draft_to_paid(world: World) -> None:
    world.profile(rate="0.19")
    world.price(flat("0.015"), flat("0.0001", Unit.ROW))
    world.used(START + DAY, 3, rows=10)
    world.used(START + DAY, 2, status=500)
    draft = world.invoicing.draft(CUSTOMER)
    assert draft.state is InvoiceState.DRAFT
    with pytest.raises(Conflict, match="not over"):
        world.invoicing.finalise(CUSTOMER, draft.id)
    world.until(FEBRUARY)
    final = world.invoicing.finalise(CUSTOMER, draft.id)
    document = final.document
    # 0.045 is rounded away from zero; the tax once, on the sum.
    assert charged(final) == [("request", 3, "0.05"), ("row", 30, "0.00")]
    assert (document.number, document.subtotal, document.tax) == (
        "INV-000001", Decimal("0.05"), Decimal("0.01"),
    )  # fmt: skip
    assert (document.total, document.due) == (Decimal("0.06"), Decimal("0.06"))
    assert [line.item for line in document.lines] == ["lab/churn"] * 2
    assert (document.issuer.name, document.customer.name) == ("default", "Acme Ltd")
    assert world.invoicing.finalise(CUSTOMER, draft.id) == final
    paid = world.invoicing.pay(CUSTOMER, final.id)
    assert paid.state is InvoiceState.PAID
    assert paid == world.invoicing.pay(CUSTOMER, final.id) == world.invoicing.get(CUSTOMER, paid.id)
    with pytest.raises(Conflict, match="credit note"):
        world.invoicing.void(CUSTOMER, final.id, "")
    with pytest.raises(Conflict, match="nothing to invoice"):
        world.invoicing.draft(CUSTOMER)


def test_a_final_invoice_never_changes(world: World) -> None:
    world.price(flat("1"))
    world.used(START + DAY)
    world.until(FEBRUARY)
    final = world.issue()
    for change in (
        "UPDATE invoices SET document = replace(document, '1.00', '9.00')",
        "UPDATE invoices SET number = 'INV-000009'",
        "UPDATE invoices SET state = 'draft'",
        "DELETE FROM invoices",
        "DELETE FROM credits",
    ):
        if change.endswith("credits"):
            world.invoicing.give_credit(CUSTOMER, CreditKind.TOP_UP, Decimal(1), None, "")
        with (
            pytest.raises(Conflict) as refused,
            world.store.connection(writes=True) as connection,
        ):
            connection.execute(text(change))
        assert "never changes" in str(refused.value.__cause__) or "append-only" in str(
            refused.value.__cause__
        )
    assert world.invoicing.get(CUSTOMER, final.id) == final


def test_a_document_that_was_tampered_with_is_found_out(world: World) -> None:
    world.price(flat("1"))
    world.used(START + DAY)
    world.until(FEBRUARY)
    final = world.issue()
    with world.store.connection(writes=True) as connection:
        connection.execute(text("DROP TRIGGER invoices_refuse_update"))
        connection.execute(text("UPDATE invoices SET document = replace(document, '1.00', '9.00')"))
    with pytest.raises(ModelyardError, match="is not what it was"):
        world.invoicing.get(CUSTOMER, final.id)


def test_late_usage_goes_to_the_next_invoice(world: World) -> None:
    tiers = (Tier(Decimal("1"), 2), Tier(Decimal("0.5")))
    world.price(Rate(Unit.REQUEST, tiers))
    world.used(START + DAY, 2)
    world.until(FEBRUARY)
    assert charged(world.issue()) == [("request", 2, "2.00")]
    world.used(START + DAY, 3)
    world.used(FEBRUARY + DAY, 1)
    world.until(MARCH)
    second = world.issue()
    # In February's own month the tiers begin anew; January's go on where they were.
    assert charged(second) == [("request", 1, "1.00"), ("request", 3, "1.50")]
    assert [line.period.end for line in second.document.lines] == [MARCH, FEBRUARY]
    world.used(START + DAY, 1)
    third = world.invoicing.draft(CUSTOMER)
    assert charged(third) == [("request", 1, "0.50")]


def test_more_units_may_make_all_of_them_cheaper(world: World) -> None:
    tiers = (Tier(Decimal("1"), 2), Tier(Decimal("0.1")))
    world.price(Rate(Unit.REQUEST, tiers, Scheme.VOLUME))
    world.used(START + DAY, 2)
    world.until(FEBRUARY)
    world.issue()
    world.used(START + DAY, 1)
    world.until(MARCH)
    second = world.issue()
    assert charged(second) == [("request", 1, "-1.70")]
    assert (second.state, second.document.due) == (InvoiceState.PAID, Decimal(0))
    assert world.invoicing.credits(CUSTOMER)[0] == Decimal("1.70")


def test_a_void_invoice_is_drawn_up_anew_under_another_number(world: World) -> None:
    world.price(flat("1"))
    world.used(START + DAY, 3)
    world.until(FEBRUARY)
    world.invoicing.give_credit(CUSTOMER, CreditKind.TOP_UP, Decimal(2), None, "paid ahead")
    first = world.issue()
    assert (first.document.credit, first.document.due) == (Decimal(2), Decimal("1.00"))
    world.invoicing.void(CUSTOMER, first.id, "wrong address")
    assert world.invoicing.credits(CUSTOMER)[0] == 2
    world.profile("Europe/Berlin")
    again = world.issue()
    assert (again.document.number, again.document.total) == ("INV-000002", Decimal("3.00"))
    listed = world.invoicing.list(CUSTOMER, PageRequest()).items
    assert [each.state for each in listed] == [InvoiceState.FINAL, InvoiceState.VOID]


def test_credit_is_taken_and_given_back(world: World) -> None:
    world.price(flat("1"))
    world.used(START + DAY, 3)
    world.until(FEBRUARY)
    give = world.invoicing.give_credit
    give(CUSTOMER, CreditKind.TOP_UP, Decimal("10.00"), None, "")
    invoice = world.issue()
    assert (invoice.state, invoice.document.due) == (InvoiceState.PAID, Decimal(0))
    note = give(CUSTOMER, CreditKind.CREDIT_NOTE, Decimal("2.50"), invoice.id, "an outage")
    assert note.number == "CN-000001"
    with pytest.raises(Conflict, match="more than its total"):
        give(CUSTOMER, CreditKind.CREDIT_NOTE, Decimal("0.51"), invoice.id, "")
    balance, changes = world.invoicing.credits(CUSTOMER)
    assert (balance, len(changes)) == (Decimal("9.50"), 3)
    for amount in ("0", "-1", "0.001", "NaN"):
        with pytest.raises(Invalid, match="above zero"):
            give(CUSTOMER, CreditKind.TOP_UP, Decimal(amount), None, "")
    with pytest.raises(NotFound):
        give(CUSTOMER, CreditKind.CREDIT_NOTE, Decimal(1), "inv_none", "")
    with pytest.raises(NotFound):
        world.invoicing.get(PUBLISHER, invoice.id)


def test_the_minimum_is_asked_for_what_is_missing(world: World) -> None:
    world.price(flat("1"), minimum="5")
    world.used(START + DAY, 2)
    world.until(FEBRUARY)
    assert charged(world.issue()) == [("request", 2, "2.00"), ("minimum", 0, "3.00")]
    world.used(FEBRUARY + DAY, 7)
    world.until(MARCH)
    assert charged(world.issue()) == [("request", 7, "7.00")]


def test_a_special_price_is_for_one_customer(world: World) -> None:
    world.price(flat("1"))
    world.price(flat("0.25"), customer=CUSTOMER)
    world.used(START + DAY, 4)
    world.until(FEBRUARY)
    assert charged(world.issue()) == [("request", 4, "1.00")]


def test_a_publisher_earns_what_its_customers_are_charged(world: World) -> None:
    world.price(flat("0.30"))
    world.used(START + DAY, 5)
    statement = world.invoicing.statement(PUBLISHER, "2026-01")
    assert statement.total == Decimal("1.50")
    assert [each.customer_id for each in statement.earnings] == [CUSTOMER]
    assert world.invoicing.statement(CUSTOMER, "2026-01").earnings == ()
    with pytest.raises(Invalid, match="2026-11"):
        world.invoicing.statement(PUBLISHER, "2026-13")


def test_months_close_by_themselves_once(world: World) -> None:
    world.price(flat("1"))
    world.used(START + DAY, 3)
    world.used(FEBRUARY + DAY, 1, status=500)
    world.used(MARCH + DAY, 2)
    world.until(FEBRUARY + timedelta(hours=5))
    assert world.invoicing.close(timedelta(hours=6)) == 0
    world.until(MARCH + 40 * DAY)
    assert world.invoicing.close(timedelta(hours=6)) == 2
    assert world.invoicing.close(timedelta(hours=6)) == 0
    assert [each.document.number for each in world.in_force()] == ["INV-000001", "INV-000002"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Africa/Cairo"])
def test_months_leave_out_nothing_and_share_nothing(zone: str) -> None:
    there = zone_of(zone)
    period = named_month("2010-01", there)
    for _ in range(12 * 20):
        after = month_of(period.end, there)
        assert after.start == period.end
        assert month_of(period.end - timedelta(microseconds=1), there) == period
        period = after


def test_an_unknown_zone_is_refused() -> None:
    for name in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(Invalid, match="IANA"):
            zone_of(name)


MOMENTS = st.integers(0, 150 * 24).map(lambda hours: START + timedelta(hours=hours))
STEPS = st.one_of(
    st.tuples(st.just("use"), MOMENTS, st.integers(1, 4)),
    st.tuples(st.just("close"), st.integers(1, 45), st.just(0)),
    st.tuples(st.just("void"), st.integers(0, 3), st.just(0)),
    st.tuples(
        st.just("zone"), st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia"]), st.just(0)
    ),
    st.tuples(st.just("price"), st.integers(1, 30), st.integers(1, 3)),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, min_size=3, max_size=14))
def test_invoices_hold_what_the_ledger_holds(
    steps: list[tuple[str, object, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the order in which usage arrives (a clock that was set back included), months are
    closed, invoices made void, prices and zones changed: in the end each unit of the ledger is on
    the invoices in force once, and periods never overlap.
    """
    world = World(tmp_path_factory.mktemp("world") / "db")
    try:
        world.price(flat("0.013"))
        for kind, what, number in steps:
            _step(world, kind, what, number)
        world.until(START + 400 * DAY)
        world.invoicing.close(timedelta(0))
        _agree(world)
    finally:
        world.store.close()


def _step(world: World, kind: str, what: object, number: int) -> None:
    if kind == "use":
        assert isinstance(what, datetime)
        world.used(what, number)
    elif kind == "close":
        assert isinstance(what, int)
        world.clock.advance(what * 86_400)
        world.invoicing.close(timedelta(0))
    elif kind == "void":
        assert isinstance(what, int)
        final = [each for each in world.in_force() if each.state is InvoiceState.FINAL]
        if what < len(final):
            world.invoicing.void(CUSTOMER, final[what].id, "")
    elif kind == "zone":
        world.profile(str(what))
    else:
        tiers = (Tier(Decimal("0.02"), number), Tier(Decimal(f"0.0{what}")))
        world.price(Rate(Unit.REQUEST, tiers))


def _agree(world: World) -> None:
    invoices = world.in_force()
    on_invoices: Counter[str] = Counter()
    for invoice in invoices:
        for line in invoice.document.lines:
            on_invoices[line.charge.price_id] += line.charge.quantity
        amounts = [line.charge.amount for line in invoice.document.lines]
        assert sum(amounts) == invoice.document.subtotal
    with world.store.connection(writes=False) as connection:
        counted = "SELECT price_id, count(*) FROM usage_events WHERE price_id <> '' GROUP BY 1"
        in_ledger = {row[0]: row[1] for row in connection.execute(text(counted))}
        numbers = connection.execute(text("SELECT number FROM invoices ORDER BY 1")).scalars().all()
    assert dict(on_invoices) == in_ledger
    periods = sorted(each.document.period for each in invoices)
    assert all(a.end <= b.start for a, b in pairwise(periods))
    assert numbers == [f"INV-{number:06}" for number in range(1, len(numbers) + 1)]
