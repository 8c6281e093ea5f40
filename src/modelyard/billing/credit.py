"""Credit: money that a tenant has paid ahead, or is given back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec


class CreditKind(StrEnum):
    """TOP_UP: paid ahead. CREDIT_NOTE: given back for an invoice, or out of goodwill. APPLIED:
    taken for an invoice (below zero), or carried over from one whose total is below zero.
    RETURNED: an invoice to which it was applied is void.
    """

    TOP_UP = "top_up"
    CREDIT_NOTE = "credit_note"
    APPLIED = "applied"
    RETURNED = "returned"


class Credit(msgspec.Struct, frozen=True):
    """One change of a tenant's credit; the balance is the sum of all. Never changed.

    `number` is that of a credit note.
    """

    id: str
    at: datetime
    kind: CreditKind
    amount: Decimal
    currency: str
    number: str | None = None
    invoice_id: str | None = None
    note: str = ""
