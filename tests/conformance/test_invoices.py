"""Invoices, credit and what is used of the platform, on each database."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from modelyard.adapters.memory import MemoryStore
from modelyard.adapters.store import SqlStore
from modelyard.adapters.store.transaction import SqlTransaction
from modelyard.billing import export
from modelyard.billing.credit import CreditKind
from modelyard.billing.export import UsageExporter
from modelyard.billing.invoice import InvoiceState
from modelyard.billing.invoicing import InvoicingService
from modelyard.billing.meter import Meter
from modelyard.billing.price import Price
from modelyard.billing.rate import Rate, Unit
from modelyard.billing.usage import Side
from modelyard.core import ids
from modelyard.core.clock import ManualClock
from modelyard.core.errors import Conflict
from modelyard.core.jobs import JobFailure, JobState
from modelyard.core.tasks import TIMED_OUT
from modelyard.tenancy.tenant import DEFAULT, Tenant
from tests.conformance.samples import OURS, START, THEIRS, a_dataset, a_job, a_price, an_event
from tests.conformance.stores import AnyStore, interrupted

DAY = 86_400


@pytest.fixture
def database(store: AnyStore) -> SqlStore:
    if isinstance(store, MemoryStore):
        pytest.skip("invoices are kept in databases alone")
    with store.begin() as tx:
        tx.tenants().add(Tenant("tnt_operator", DEFAULT, START))
    return store


def test_an_invoice_goes_its_way(database: SqlStore, clock: ManualClock) -> None:
    invoicing = InvoicingService(database, clock, "USD", DEFAULT)
    with database.begin() as tx:
        tx.prices(THEIRS).add(a_price("0.5"))
        events = [replace(an_event(DAY), owner_id=THEIRS) for _ in range(3)]
        tx.ledger().append("jrn_a", 1, events)
    clock.advance(40 * DAY)
    invoicing.give_credit(OURS, CreditKind.TOP_UP, Decimal("1.00"), None, "")
    draft = invoicing.draft(OURS)
    assert invoicing.draft(OURS).id == draft.id
    final = invoicing.finalise(OURS, draft.id)
    assert (final.document.number, final.document.due) == ("INV-000001", Decimal("0.50"))
    assert invoicing.get(OURS, final.id) == final
    for change in (
        f"UPDATE invoices SET number = 'INV-9' WHERE id = '{final.id}'",
        f"UPDATE invoices SET state = 'draft' WHERE id = '{final.id}'",
        "DELETE FROM invoices",
        "UPDATE credits SET amount = '9'",
        "DELETE FROM credits",
    ):
        with (
            pytest.raises((Conflict, DBAPIError)) as refused,
            database.connection(writes=True) as connection,
        ):
            connection.execute(text(change))
        said = str(refused.value.__cause__ or refused.value)
        assert "never changes" in said or "append-only" in said
    assert invoicing.void(OURS, final.id, "a mistake").state is InvoiceState.VOID
    assert invoicing.credits(OURS)[0] == Decimal("1.00")
    assert invoicing.close(timedelta(0)) == 1
    with database.read() as tx:
        assert [each.document.number for each in tx.invoices(OURS).in_force()] == ["INV-000002"]
        assert tx.invoices(THEIRS).in_force() == []
    assert invoicing.statement(THEIRS, "2026-01").total == Decimal("1.50")


def test_a_number_that_was_taken_in_vain_is_given_again(database: SqlStore) -> None:
    with interrupted(database) as tx:
        assert isinstance(tx, SqlTransaction)
        assert tx.series().next("INV") == "INV-000001"
    with database.begin() as tx:
        assert [tx.series().next("INV") for _ in range(2)] == ["INV-000001", "INV-000002"]
        assert tx.series().next("CN") == "CN-000001"


def test_training_and_storage_are_metered_once(database: SqlStore, clock: ManualClock) -> None:
    rates = (
        Rate.flat(Unit.TRAINING_SECOND, Decimal("0.01")),
        Rate.flat(Unit.GB_HOUR, Decimal("1000000")),
    )
    done, failed, over = a_job(), a_job(), a_job()
    late = JobFailure(TIMED_OUT, "the task took longer than its limit of 90 s")
    over = replace(over, spec={**over.spec, "trials": 5, "workers": 2})
    with database.begin() as tx:
        tx.prices("tnt_operator").add(Price(ids.new_id(ids.PRICE), "", "USD", rates, START))
        tx.datasets(OURS).add_version("numbers", a_dataset("a,b,c"), START)
        for job in (done, failed, over):
            tx.jobs(OURS).add(job)
    ends = ((JobState.SUCCEEDED, None), (JobState.FAILED, None), (JobState.FAILED, late))
    for state, failure in ends:
        with database.begin() as tx:
            claimed = tx.queue().claim("wrk_1", clock.now())
            assert claimed is not None
        clock.advance(90)
        with database.begin() as tx:
            tx.queue().finish(claimed.id, claimed.fence, clock.now(), state, failure=failure)
    meter = Meter(database, clock)
    # Two jobs, one of which went past its own limit, and the storage of one tenant.
    assert (meter.measure(), meter.measure()) == (3, 0)
    assert Meter(database, clock).measure() == 0
    clock.advance(3600)
    assert meter.measure() == 1
    clock.advance(40 * DAY)
    invoice = InvoicingService(database, clock, "USD", DEFAULT).draft(OURS)
    charged = {line.charge.unit: line.charge for line in invoice.document.lines}
    assert charged[Unit.TRAINING_SECOND].quantity == (90 + 2 * 90) * 10**6
    assert charged[Unit.TRAINING_SECOND].amount == Decimal("2.70")
    # Five bytes for two hours, at a million for 10^9 of them.
    assert charged[Unit.GB_HOUR].quantity == 10
    assert charged[Unit.GB_HOUR].amount == Decimal("0.01")


def test_entries_are_read_page_by_page(
    database: SqlStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 2)
    events = [an_event(seconds) for seconds in (5, 1, 1, 3, 9)]
    with database.begin() as tx:
        tx.ledger().append("jrn_a", 1, [*events, an_event(2, THEIRS)])
    clock.advance(9)
    exporter = UsageExporter(database, clock)
    pages = list(exporter.pages(OURS, Side.USED, START, None))
    found = [entry.event for page in pages for entry in page]
    # The one that began when it was asked is not in; those of one moment are in the ids' order.
    assert found == sorted(events[:4], key=lambda event: (event.at, event.request_id))
    assert [len(page) for page in pages] == [2, 2]
    assert sum(len(page) for page in exporter.pages(OURS, Side.ALL, None, clock.now())) == 5
