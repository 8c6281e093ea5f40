"""Invoices: what a tenant owes for a month, first as a draft, then for good."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from modelyard.billing.charge import Charge
from modelyard.billing.period import Period
from modelyard.billing.profile import BillingProfile, Party
from modelyard.core.errors import Conflict, ModelyardError
from modelyard.core.money import exact_product, exact_sum, rounded


class InvoiceState(StrEnum):
    """DRAFT may change with the ledger; FINAL has its number and stays as it is, also when it is
    PAID or VOID.
    """

    DRAFT = "draft"
    FINAL = "final"
    PAID = "paid"
    VOID = "void"


class Line(msgspec.Struct, frozen=True):
    """One charge, and the period that it belongs to: the invoice's own, or an earlier one whose
    usage came in late. `item` says of what, `terms` at which price, in words.
    """

    charge: Charge
    period: Period
    item: str
    terms: str


class Document(msgspec.Struct, frozen=True):
    """All that an invoice says. `subtotal` is the sum of its lines; `total` is with tax;
    `credit` is what was taken from the tenant's credit, `due` what is left to pay.

    `events` counts what the ledger held of the tenant from before the period's end, which tells
    later whether anything has come in since.
    """

    tenant_id: str
    period: Period
    time_zone: str
    currency: str
    issuer: Party
    customer: Party
    lines: tuple[Line, ...]
    subtotal: Decimal
    tax_label: str
    tax_rate: Decimal
    tax: Decimal
    total: Decimal
    events: int
    number: str | None = None
    issued_at: datetime | None = None
    credit: Decimal = Decimal(0)
    due: Decimal = Decimal(0)

    @property
    def digest(self) -> str:
        """SHA-256 of the document, as 64 hexadecimal digits."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class Invoice(msgspec.Struct, frozen=True):
    """An invoice of one tenant. `digest` is that of the document since it is final."""

    id: str
    state: InvoiceState
    created_at: datetime
    document: Document
    digest: str | None = None
    paid_at: datetime | None = None
    voided_at: datetime | None = None
    reason: str = ""

    def check(self) -> Invoice:
        """The invoice itself. Raises ModelyardError when the document is not the one that was
        finalised.
        """
        if self.digest is not None and self.document.digest != self.digest:
            raise ModelyardError(f"invoice {self.id} is not what it was when it was finalised")
        return self

    def finalised(self, number: str, now: datetime, balance: Decimal) -> Invoice:
        """The invoice for good, with as much taken from the credit as there is.

        Raises:
            Conflict: it is final already, or its month is not over.
        """
        document = self.document
        if self.state is not InvoiceState.DRAFT:
            raise Conflict(f"invoice {document.number} is {self.state} already")
        if document.period.end > now:
            raise Conflict(
                f"the period is not over before {document.period.end:%Y-%m-%d %H:%M} UTC"
            )
        # A total below zero, which late usage may make cheaper tiers come to, adds to the credit.
        credit = min(balance, document.total)
        document = replace(
            document, number=number, issued_at=now, credit=credit, due=document.total - credit
        )
        settled = document.due == 0
        return replace(
            self,
            state=InvoiceState.PAID if settled else InvoiceState.FINAL,
            document=document,
            digest=document.digest,
            paid_at=now if settled else None,
        )

    def paid(self, now: datetime) -> Invoice:
        """The invoice once it is paid; paying again changes nothing. Raises Conflict."""
        if self.state is InvoiceState.PAID:
            return self
        if self.state is not InvoiceState.FINAL:
            raise Conflict(f"a {self.state} invoice cannot be paid")
        return replace(self, state=InvoiceState.PAID, paid_at=now)

    def voided(self, now: datetime, reason: str) -> Invoice:
        """The invoice out of force; what it was for is open again. Raises Conflict."""
        if self.state is InvoiceState.VOID:
            return self
        if self.state is not InvoiceState.FINAL:
            raise Conflict(
                f"a {self.state} invoice cannot be made void"
                + (": give a credit note" if self.state is InvoiceState.PAID else "")
            )
        return replace(self, state=InvoiceState.VOID, voided_at=now, reason=reason)


def document_of(
    tenant_id: str,
    period: Period,
    lines: Sequence[Line],
    *,
    customer: BillingProfile,
    issuer: Party,
    currency: str,
    events: int,
) -> Document:
    """What the invoice says: each line is rounded already, and the tax is once, on their sum."""
    subtotal = rounded(exact_sum(*(line.charge.amount for line in lines)), currency)
    tax = rounded(exact_product(subtotal, customer.tax_rate), currency)
    total = exact_sum(subtotal, tax)
    return Document(
        tenant_id=tenant_id,
        period=period,
        time_zone=customer.time_zone,
        currency=currency,
        issuer=issuer,
        customer=customer.party,
        lines=tuple(lines),
        subtotal=subtotal,
        tax_label=customer.tax_label,
        tax_rate=customer.tax_rate,
        tax=tax,
        total=total,
        events=events,
        due=total,
    )


def charged_before(invoices: Iterable[Invoice], period: Period) -> list[Charge]:
    """What invoices in force have asked for one period."""
    return [
        line.charge
        for invoice in invoices
        if invoice.state in (InvoiceState.FINAL, InvoiceState.PAID)
        for line in invoice.document.lines
        if line.period == period
    ]
