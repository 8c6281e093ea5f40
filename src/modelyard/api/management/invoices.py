"""`/api/v1/invoices`: what a tenant owes for its months."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from litestar import Response, Router, get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.billing_profile import Party, shown_party
from modelyard.api.management.dependencies import Caller, Paging, Services
from modelyard.api.management.fields import Name
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.prices import text
from modelyard.api.management.problems import refusals
from modelyard.billing import invoice as entity
from modelyard.billing.invoice import InvoiceState
from modelyard.billing.invoicing import MAX_NOTE
from modelyard.billing.quantity import whole
from modelyard.billing.rate import Unit
from modelyard.core.access import Permission
from modelyard.core.pages import Page


class InvoiceLine(msgspec.Struct, frozen=True):
    """One charge. Amounts and quantities are exact, as text.

    `item` is a deployment, with its owner's name where that is another tenant, or `platform`.
    `unit` is null for what was missing to a minimum. `period_end` is at most the invoice's
    `period_start` where the usage came in late.
    """

    item: str
    deployment: str
    owner_id: str
    unit: Unit | None
    quantity: str
    terms: str
    price_id: str
    amount: str
    period_start: datetime
    period_end: datetime


class InvoiceSummary(msgspec.Struct, frozen=True):
    """An invoice without its lines. `number` is null while it is a draft."""

    id: str
    tenant_id: str
    state: InvoiceState
    number: str | None
    period_start: datetime
    period_end: datetime
    currency: str
    total: str
    due: str
    created_at: datetime
    issued_at: datetime | None
    paid_at: datetime | None
    voided_at: datetime | None


class Invoice(InvoiceSummary, frozen=True, kw_only=True):
    """An invoice. `total` is with tax; `credit` was taken from the tenant's credit; `due` is left.

    `digest` is the SHA-256 of what it says since it is final.
    """

    time_zone: str
    issuer: Party
    customer: Party
    lines: list[InvoiceLine]
    subtotal: str
    tax_label: str
    tax_rate: str
    tax: str
    credit: str
    digest: str | None
    reason: str


class Voided(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an invoice is made void."""

    reason: Annotated[str, Meta(max_length=MAX_NOTE, examples=["wrong address"])] = ""


class DocumentFormat(StrEnum):
    """What an invoice can be had as."""

    PDF = "pdf"
    CSV = "csv"


_MEDIA: Final = {DocumentFormat.PDF: "application/pdf", DocumentFormat.CSV: "text/csv"}


@get("/", summary="List invoices", responses=refusals(), sync_to_thread=True)
def list_invoices(services: Services, caller: Caller, page: Paging) -> Page[InvoiceSummary]:
    """The tenant's invoices, newest first."""
    return services.invoicing.list(caller.tenant_id, page).map(_summary)


@post(
    "/",
    status_code=200,
    summary="Draw up the next invoice",
    responses=refusals(409, 413, 415, 422),
    operation_class=Idempotent,
    sync_to_thread=True,
)
def draft_invoice(services: Services, caller: Caller) -> Invoice:
    """A draft of the first month that is on no invoice, with what came in late for earlier ones.

    There is one draft; drawing it up again brings it up to date. 409 when there is nothing.
    """
    return _shown(services.invoicing.draft(caller.tenant_id))


@get("/{invoice_id:str}", summary="Show an invoice", responses=refusals(404), sync_to_thread=True)
def show_invoice(services: Services, caller: Caller, invoice_id: Name) -> Invoice:
    """With its lines."""
    return _shown(services.invoicing.get(caller.tenant_id, invoice_id))


@get(
    "/{invoice_id:str}/document",
    summary="Download an invoice",
    responses=refusals(404, 501),
    sync_to_thread=True,
)
def download_invoice(
    services: Services,
    caller: Caller,
    invoice_id: Name,
    format: Annotated[
        DocumentFormat, QueryParameter(description="`pdf` or `csv`.")
    ] = DocumentFormat.PDF,
) -> Response[bytes]:
    """To be sent to a customer. The PDF needs the server's extra `pdf`."""
    invoice = services.invoicing.get(caller.tenant_id, invoice_id)
    content = services.invoice_documents[format.value](invoice)
    name = f"{invoice.document.number or 'draft'}.{format.value}"
    disposition = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=_MEDIA[format], headers=disposition)


@post(
    "/{invoice_id:str}/finalise",
    status_code=200,
    summary="Finalise an invoice",
    responses=refusals(404, 409, 422),
    operation_class=Idempotent,
    sync_to_thread=True,
)
def finalise_invoice(services: Services, caller: Caller, invoice_id: Name) -> Invoice:
    """It is drawn up for the last time, gets the next number, takes what credit there is, and
    never changes again. 409 while its month is not over.
    """
    return _shown(services.invoicing.finalise(caller.tenant_id, invoice_id))


@post(
    "/{invoice_id:str}/pay",
    status_code=200,
    summary="Mark an invoice paid",
    responses=refusals(404, 409, 422),
    operation_class=Idempotent,
    sync_to_thread=True,
)
def pay_invoice(services: Services, caller: Caller, invoice_id: Name) -> Invoice:
    """Doing it again changes nothing."""
    return _shown(services.invoicing.pay(caller.tenant_id, invoice_id))


@post(
    "/{invoice_id:str}/void",
    status_code=200,
    summary="Make an invoice void",
    responses=refusals(404, 409, 413, 415, 422),
    operation_class=Idempotent,
    sync_to_thread=True,
)
def void_invoice(
    services: Services, caller: Caller, invoice_id: Name, data: JSONBody[Voided]
) -> Invoice:
    """Its number stays taken, its credit goes back, and what it was for is on the next invoice.
    One that is paid cannot be made void: give a credit note.
    """
    return _shown(services.invoicing.void(caller.tenant_id, invoice_id, data.reason))


def _summary(invoice: entity.Invoice) -> InvoiceSummary:
    document = invoice.document
    return InvoiceSummary(
        id=invoice.id,
        tenant_id=document.tenant_id,
        state=invoice.state,
        number=document.number,
        period_start=document.period.start,
        period_end=document.period.end,
        currency=document.currency,
        total=text(document.total),
        due=text(document.due),
        created_at=invoice.created_at,
        issued_at=document.issued_at,
        paid_at=invoice.paid_at,
        voided_at=invoice.voided_at,
    )


def _shown(invoice: entity.Invoice) -> Invoice:
    document = invoice.document
    return Invoice(
        **msgspec.structs.asdict(_summary(invoice)),
        time_zone=document.time_zone,
        issuer=shown_party(document.issuer),
        customer=shown_party(document.customer),
        lines=[_line(line) for line in document.lines],
        subtotal=text(document.subtotal),
        tax_label=document.tax_label,
        tax_rate=text(document.tax_rate),
        tax=text(document.tax),
        credit=text(document.credit),
        digest=invoice.digest,
        reason=invoice.reason,
    )


def _line(line: entity.Line) -> InvoiceLine:
    charge = line.charge
    quantity = "" if charge.unit is None else text(whole(charge.unit, charge.quantity))
    return InvoiceLine(
        item=line.item,
        deployment=charge.deployment,
        owner_id=charge.owner_id,
        unit=charge.unit,
        quantity=quantity,
        terms=line.terms,
        price_id=charge.price_id,
        amount=text(charge.amount),
        period_start=line.period.start,
        period_end=line.period.end,
    )


invoices: Final = Router(
    "/invoices",
    route_handlers=[
        list_invoices,
        draft_invoice,
        show_invoice,
        download_invoice,
        finalise_invoice,
        pay_invoice,
        void_invoice,
    ],
    tags=["billing"],
    opt=needs(Permission.BILLING_READ, Permission.OPERATE),
)
