"""Invoices, credit, statements, and whom they go to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import msgspec

from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route


class Party(msgspec.Struct, frozen=True):
    """Who issues or gets an invoice, as it stands there."""

    name: str
    address: Sequence[str] = ()
    tax_id: str = ""
    email: str = ""


class BillingProfile(msgspec.Struct, frozen=True):
    """A tenant's party, the time zone of its months, and its tax as a share: 0.19 is 19 %."""

    party: Party
    time_zone: str = "UTC"
    tax_rate: Decimal = Decimal(0)
    tax_label: str = ""


class InvoiceLine(msgspec.Struct, frozen=True):
    """One charge. `unit` is None for what was missing to a minimum."""

    item: str
    deployment: str
    owner_id: str
    unit: str | None
    quantity: str
    terms: str
    price_id: str
    amount: Decimal
    period_start: datetime
    period_end: datetime


class InvoiceSummary(msgspec.Struct, frozen=True):
    """An invoice without its lines. `number` is None while it is a draft."""

    id: str
    tenant_id: str
    state: str
    number: str | None
    period_start: datetime
    period_end: datetime
    currency: str
    total: Decimal
    due: Decimal
    created_at: datetime
    issued_at: datetime | None = None
    paid_at: datetime | None = None
    voided_at: datetime | None = None


class Invoice(InvoiceSummary, frozen=True, kw_only=True):
    """An invoice. `credit` was taken from the tenant's credit, `due` is left to pay."""

    time_zone: str
    issuer: Party
    customer: Party
    lines: Sequence[InvoiceLine]
    subtotal: Decimal
    tax_label: str
    tax_rate: Decimal
    tax: Decimal
    credit: Decimal
    digest: str | None = None
    reason: str = ""


class Credit(msgspec.Struct, frozen=True):
    """One change of a tenant's credit; below zero where it was taken for an invoice."""

    id: str
    at: datetime
    kind: str
    amount: Decimal
    currency: str
    number: str | None = None
    invoice_id: str | None = None
    note: str = ""


class CreditAccount(msgspec.Struct, frozen=True):
    """The balance, and the changes that it is made of, newest first."""

    balance: Decimal
    items: Sequence[Credit]


class StatementLine(msgspec.Struct, frozen=True):
    """What one customer was charged for one unit of one deployment."""

    deployment: str
    customer_id: str
    unit: str | None
    quantity: str
    price_id: str
    amount: Decimal


class Statement(msgspec.Struct, frozen=True):
    """What others' calls to a tenant's deployments have earned in a month, before tax."""

    period_start: datetime
    period_end: datetime
    currency: str
    total: Decimal
    lines: Sequence[StatementLine]


class Invoices:
    """`/api/v1/invoices`, and the billing profile. Issuing is the operator's."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, limit: int = 1000) -> Sequence[InvoiceSummary]:
        """Newest first."""
        return collect(self._transport, route("invoices"), Page[InvoiceSummary], limit)

    def get(self, invoice_id: str) -> Invoice:
        """With its lines."""
        return self._transport.request("GET", route("invoices", invoice_id), Invoice)

    def draft(self) -> Invoice:
        """Draw up the next invoice, or bring its draft up to date."""
        return self._transport.request("POST", route("invoices"), Invoice)

    def finalise(self, invoice_id: str) -> Invoice:
        """Give it a number, for good."""
        return self._act(invoice_id, "finalise")

    def pay(self, invoice_id: str) -> Invoice:
        """Note that it was paid."""
        return self._act(invoice_id, "pay")

    def void(self, invoice_id: str, reason: str = "") -> Invoice:
        """Put it out of force; what it was for is on the next one."""
        path = route("invoices", invoice_id, "void")
        return self._transport.request("POST", path, Invoice, body={"reason": reason})

    def download(self, invoice_id: str, target: Path, format: str = "pdf") -> int:
        """Write it to a file as `pdf` or `csv`; returns the bytes."""
        path = route("invoices", invoice_id, "document")
        return self._transport.download(path, target, {"format": format})

    def profile(self) -> BillingProfile:
        """Whom the tenant's invoices go to."""
        return self._transport.request("GET", route("billing-profile"), BillingProfile)

    def set_profile(self, profile: BillingProfile) -> BillingProfile:
        """Put a profile in force for invoices from now on."""
        path = route("billing-profile")
        return self._transport.request("PUT", path, BillingProfile, body=profile)

    def statement(self, month: str) -> Statement:
        """What others' calls have earned in a month such as `2026-11`."""
        params = {"month": month}
        return self._transport.request("GET", route("statements"), Statement, params=params)

    def _act(self, invoice_id: str, what: str) -> Invoice:
        return self._transport.request("POST", route("invoices", invoice_id, what), Invoice)


class Credits:
    """`/api/v1/credits`. Giving is the operator's."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def account(self) -> CreditAccount:
        """The balance, and how it came to be."""
        return self._transport.request("GET", route("credits"), CreditAccount)

    def give(
        self, kind: str, amount: Decimal | str, *, invoice: str | None = None, note: str = ""
    ) -> Credit:
        """A `top_up`, or a `credit_note`, which may be for an invoice."""
        body = {"kind": kind, "amount": str(amount), "invoice": invoice, "note": note}
        return self._transport.request("POST", route("credits"), Credit, body=body)
