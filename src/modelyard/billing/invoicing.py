"""Invoices and credit: use cases."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from modelyard.billing.credit import Credit, CreditKind
from modelyard.billing.due import next_due, profile_of
from modelyard.billing.invoice import Invoice, InvoiceState, Line, document_of
from modelyard.billing.period import Period, named_month, zone_of
from modelyard.billing.ports import InvoicingTransaction
from modelyard.billing.profile import BillingProfile
from modelyard.billing.statement import Statement, statement_of
from modelyard.core import ids
from modelyard.core.clock import Clock
from modelyard.core.errors import Conflict, Invalid
from modelyard.core.money import rounded
from modelyard.core.pages import Page, PageRequest
from modelyard.core.ports import Store

_log = logging.getLogger(__name__)

INVOICES: Final = "INV"
CREDIT_NOTES: Final = "CN"
MAX_NOTE: Final = 500


class InvoicingService:
    """Draws up invoices from the ledger. `issuer` is the name of the tenant that issues them."""

    def __init__(
        self, store: Store[InvoicingTransaction], clock: Clock, currency: str, issuer: str
    ) -> None:
        self._store = store
        self._clock = clock
        self._currency = currency
        self._issuer = issuer

    # Invoices

    def draft(self, tenant_id: str) -> Invoice:
        """The invoice that comes next, as the ledger has it now; a draft that is there is renewed.

        Raises:
            Conflict: nothing was used that has a price and is on no invoice.
        """
        with self._store.begin() as tx:
            return self._draft(tx, tenant_id)

    def finalise(self, tenant_id: str, invoice_id: str) -> Invoice:
        """Draw it up for the last time and give it the next number; a final one stays as it is.

        Raises:
            NotFound: there is no such invoice.
            Conflict: its month is not over, or it is void.
        """
        with self._store.begin() as tx:
            # Whoever has the series is alone: numbers have no gaps and credit is taken once.
            tx.series().lock(INVOICES)
            invoice = tx.invoices(tenant_id).get(invoice_id)
            if invoice.state in (InvoiceState.FINAL, InvoiceState.PAID):
                return invoice
            if invoice.state is InvoiceState.DRAFT:
                invoice = self._draft(tx, tenant_id)
            return self._finalise(tx, tenant_id, invoice)

    def get(self, tenant_id: str, invoice_id: str) -> Invoice:
        """Raises NotFound, and ModelyardError when it was tampered with."""
        with self._store.read() as tx:
            return tx.invoices(tenant_id).get(invoice_id).check()

    def list(self, tenant_id: str, page: PageRequest) -> Page[Invoice]:
        """Newest first."""
        with self._store.read() as tx:
            return tx.invoices(tenant_id).list(page)

    def pay(self, tenant_id: str, invoice_id: str) -> Invoice:
        """Note that it was paid. Raises NotFound or Conflict."""
        with self._store.begin() as tx:
            paid = tx.invoices(tenant_id).get(invoice_id).paid(self._clock.now())
            tx.invoices(tenant_id).change(paid)
            return paid

    def void(self, tenant_id: str, invoice_id: str, reason: str) -> Invoice:
        """Put it out of force: its credit goes back, and its usage to the next invoice.

        Raises:
            NotFound: there is no such invoice.
            Conflict: it is a draft, or paid.
        """
        _check_note(reason)
        now = self._clock.now()
        with self._store.begin() as tx:
            tx.series().lock(INVOICES)
            before = tx.invoices(tenant_id).get(invoice_id)
            void = before.voided(now, reason)
            tx.invoices(tenant_id).change(void)
            if before.state is not void.state and before.document.credit:
                credit, note = before.document.credit, f"invoice {before.document.number} is void"
                self._add(tx, tenant_id, CreditKind.RETURNED, credit, invoice_id, note)
            return void

    def close(self, grace: timedelta) -> int:
        """Finalise what is due of all tenants: months that ended at least `grace` ago. Returns how
        many invoices there were.
        """
        over, count = self._clock.now() - grace, 0
        with self._store.read() as tx:
            tenants = tx.tenants().ids()
        for tenant_id in tenants:
            try:
                while self._close_next(tenant_id, over):
                    count += 1
            except Invalid:
                # One tenant's trouble is not to keep the others' invoices back.
                _log.exception("no invoice could be drawn up", extra={"tenant": tenant_id})
        return count

    def _close_next(self, tenant_id: str, over: datetime) -> bool:
        """Finalise the tenant's next invoice, if its month was over by then."""
        with self._store.read() as tx:
            if next_due(tx, tenant_id, over) is None:
                return False
        with self._store.begin() as tx:
            tx.series().lock(INVOICES)
            found = next_due(tx, tenant_id, over)
            if found is not None:
                self._finalise(tx, tenant_id, self._drawn(tx, tenant_id, *found))
        return True

    # Credit

    def credits(self, tenant_id: str) -> tuple[Decimal, Sequence[Credit]]:
        """The balance, and what it is made of, newest first."""
        with self._store.read() as tx:
            found = tx.credits(tenant_id).list()
        return sum((each.amount for each in found), Decimal(0)), found

    def give_credit(
        self, tenant_id: str, kind: CreditKind, amount: Decimal, invoice_id: str | None, note: str
    ) -> Credit:
        """Top up a tenant's credit, or give a credit note, also for an invoice.

        Raises:
            Invalid: not an amount above zero in whole coins, or a kind that nobody gives.
            NotFound: there is no such invoice.
            Conflict: the credit notes for the invoice would come to more than its total.
        """
        _check_note(note)
        if kind not in (CreditKind.TOP_UP, CreditKind.CREDIT_NOTE):
            raise Invalid("credit is given as 'top_up' or 'credit_note'")
        if not amount.is_finite() or amount <= 0 or amount != rounded(amount, self._currency):
            raise Invalid(f"an amount of credit is above zero, and payable in {self._currency}")
        if invoice_id is not None and kind is CreditKind.TOP_UP:
            raise Invalid("a top-up is for no invoice; a credit note may be")
        with self._store.begin() as tx:
            tx.series().lock(CREDIT_NOTES)
            if invoice_id is not None:
                self._check_note_fits(tx, tenant_id, invoice_id, amount)
            return self._add(tx, tenant_id, kind, amount, invoice_id, note)

    def _check_note_fits(
        self, tx: InvoicingTransaction, tenant_id: str, invoice_id: str, amount: Decimal
    ) -> None:
        invoice = tx.invoices(tenant_id).get(invoice_id)
        if invoice.state not in (InvoiceState.FINAL, InvoiceState.PAID):
            raise Conflict(f"there is no credit for a {invoice.state} invoice")
        given = [
            each.amount
            for each in tx.credits(tenant_id).list()
            if each.kind is CreditKind.CREDIT_NOTE and each.invoice_id == invoice_id
        ]
        if sum(given, amount) > invoice.document.total:
            raise Conflict(
                f"credit notes for {invoice.document.number} would come to {sum(given, amount)}, "
                f"more than its total of {invoice.document.total}"
            )

    def _add(
        self,
        tx: InvoicingTransaction,
        tenant_id: str,
        kind: CreditKind,
        amount: Decimal,
        invoice_id: str | None,
        note: str,
    ) -> Credit:
        number = tx.series().next(CREDIT_NOTES) if kind is CreditKind.CREDIT_NOTE else None
        credit = Credit(
            id=ids.new_id(ids.CREDIT),
            at=self._clock.now(),
            kind=kind,
            amount=amount,
            currency=self._currency,
            number=number,
            invoice_id=invoice_id,
            note=note,
        )
        tx.credits(tenant_id).add(credit)
        return credit

    # Statements

    def statement(self, tenant_id: str, month: str) -> Statement:
        """What others' calls to the tenant's deployments have earned in a month such as 2026-11,
        in its time zone. Raises Invalid.
        """
        with self._store.read() as tx:
            period = named_month(month, zone_of(profile_of(tx, tenant_id).time_zone))
            sold = tx.charged(tenant_id).sold(period)
            prices = tx.ledger().prices({each.price_id for each in sold})
        return statement_of(period, self._currency, sold, prices)

    # Profiles

    def profile(self, tenant_id: str) -> BillingProfile:
        """The tenant's profile; until one is set, its name and UTC."""
        with self._store.read() as tx:
            return profile_of(tx, tenant_id)

    def set_profile(self, tenant_id: str, profile: BillingProfile) -> None:
        """Put a profile in force for invoices from now on."""
        with self._store.begin() as tx:
            tx.billing_profiles(tenant_id).put(profile)

    # Drawing up

    def _draft(self, tx: InvoicingTransaction, tenant_id: str) -> Invoice:
        found = next_due(tx, tenant_id)
        if found is None:
            raise Conflict("there is nothing to invoice: no priced usage that is on no invoice yet")
        return self._drawn(tx, tenant_id, *found)

    def _drawn(
        self, tx: InvoicingTransaction, tenant_id: str, period: Period, lines: Sequence[Line]
    ) -> Invoice:
        document = document_of(
            tenant_id=tenant_id,
            period=period,
            lines=lines,
            customer=profile_of(tx, tenant_id),
            issuer=profile_of(tx, tx.tenants().named(self._issuer).id).party,
            currency=self._currency,
            events=tx.charged(tenant_id).count_before(period.end),
        )
        invoices = tx.invoices(tenant_id)
        draft = invoices.draft()
        if draft is None:
            new_id = ids.new_id(ids.INVOICE)
            draft = Invoice(new_id, InvoiceState.DRAFT, self._clock.now(), document)
            invoices.add(draft)
            return draft
        draft = replace(draft, document=document)
        invoices.change(draft)
        return draft

    def _finalise(self, tx: InvoicingTransaction, tenant_id: str, draft: Invoice) -> Invoice:
        balance = sum((each.amount for each in tx.credits(tenant_id).list()), Decimal(0))
        # A number that was taken in vain goes back with the transaction.
        final = draft.finalised(tx.series().next(INVOICES), self._clock.now(), balance)
        tx.invoices(tenant_id).change(final)
        if final.document.credit:
            note = f"invoice {final.document.number}"
            self._add(tx, tenant_id, CreditKind.APPLIED, -final.document.credit, final.id, note)
        return final


def _check_note(text: str) -> None:
    if len(text) > MAX_NOTE or not text.isprintable():
        raise Invalid(f"a note is up to {MAX_NOTE} printable characters")
