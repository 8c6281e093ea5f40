"""`/api/v1/credits`: money that a tenant has paid ahead, or was given back."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Services
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.prices import AmountText, text
from modelyard.api.management.problems import refusals
from modelyard.billing import credit as entity
from modelyard.billing.credit import CreditKind
from modelyard.billing.invoicing import MAX_NOTE
from modelyard.core.access import Permission
from modelyard.core.money import parse_amount


class GivenKind(StrEnum):
    """The credit that can be given; the rest comes of invoices."""

    TOP_UP = "top_up"
    CREDIT_NOTE = "credit_note"


class NewCredit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Credit to give."""

    kind: Annotated[
        GivenKind,
        Meta(description="`top_up`: paid ahead. `credit_note`: given back, and numbered."),
    ]
    amount: AmountText
    invoice: Annotated[
        str | None, Meta(description="The id of the invoice that a credit note is for.")
    ] = None
    note: Annotated[str, Meta(max_length=MAX_NOTE)] = ""


class Credit(msgspec.Struct, frozen=True):
    """One change of the credit; below zero where it was taken for an invoice."""

    id: str
    at: datetime
    kind: CreditKind
    amount: str
    currency: str
    number: str | None
    invoice_id: str | None
    note: str


class Credits(msgspec.Struct, frozen=True):
    """The balance, and all the changes that it is made of, newest first."""

    balance: str
    items: list[Credit]


@get("/", summary="Show the credit", responses=refusals(), sync_to_thread=True)
def list_credits(services: Services, caller: Caller) -> Credits:
    """The next invoice takes what there is of it."""
    balance, found = services.invoicing.credits(caller.tenant_id)
    return Credits(text(balance), [_shown(credit) for credit in found])


@post(
    "/",
    summary="Give credit",
    responses=refusals(404, 409, 413, 415, 422),
    operation_class=Idempotent,
    sync_to_thread=True,
)
def give_credit(services: Services, caller: Caller, data: JSONBody[NewCredit]) -> Credit:
    """Credit notes for an invoice come to at most its total."""
    credit = services.invoicing.give_credit(
        caller.tenant_id,
        CreditKind(data.kind.value),
        parse_amount(data.amount),
        data.invoice,
        data.note,
    )
    return _shown(credit)


def _shown(credit: entity.Credit) -> Credit:
    return Credit(
        id=credit.id,
        at=credit.at,
        kind=credit.kind,
        amount=text(credit.amount),
        currency=credit.currency,
        number=credit.number,
        invoice_id=credit.invoice_id,
        note=credit.note,
    )


credits: Final = Router(
    "/credits",
    route_handlers=[list_credits, give_credit],
    tags=["billing"],
    opt=needs(Permission.BILLING_READ, Permission.OPERATE),
)
