"""An invoice's lines as CSV (RFC 4180)."""

from __future__ import annotations

import csv
import io
from typing import Final

from modelyard.billing.invoice import Invoice
from modelyard.billing.quantity import whole

_HEADINGS: Final = (
    "invoice",
    "item",
    "unit",
    "quantity",
    "terms",
    "from",
    "to",
    "amount",
    "currency",
    "price_id",
    "owner_id",
)


def invoice_csv(invoice: Invoice) -> bytes:
    """A row for each line, then one for the tax, in UTF-8. Quantities are exact."""
    document = invoice.document
    number = document.number or "draft"
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(_HEADINGS)
    for line in document.lines:
        charge = line.charge
        quantity = "" if charge.unit is None else f"{whole(charge.unit, charge.quantity):f}"
        rows.writerow(
            (
                number,
                _harmless(line.item),
                charge.unit or "minimum",
                quantity,
                _harmless(line.terms),
                line.period.start.isoformat(),
                line.period.end.isoformat(),
                f"{charge.amount:f}",
                document.currency,
                charge.price_id,
                charge.owner_id,
            )
        )
    tax = (number, _harmless(document.tax_label), "tax", "", f"{document.tax_rate:f}")
    period = (document.period.start.isoformat(), document.period.end.isoformat())
    rows.writerow((*tax, *period, f"{document.tax:f}", document.currency, "", ""))
    return text.getvalue().encode()


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
