"""What a tenant is to be invoiced next, by the ledger and the invoices that it has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from modelyard.billing.charge import Charge, charges, late
from modelyard.billing.invoice import Invoice, Line, charged_before
from modelyard.billing.period import Period, month_of, zone_of
from modelyard.billing.ports import InvoicingTransaction
from modelyard.billing.price import Price
from modelyard.billing.profile import BillingProfile, Party
from modelyard.core.clock import EPOCH


def next_due(
    tx: InvoicingTransaction, tenant_id: str, over: datetime | None = None
) -> tuple[Period, list[Line]] | None:
    """The next month to invoice, and its lines: the first after the last invoice in which
    something was used that has a price; or, where only late usage is open, the one right
    after. With `over`, None also for a month that was not over by then.
    """
    zone = zone_of(profile_of(tx, tenant_id).time_zone)
    in_force = tx.invoices(tenant_id).in_force()
    begin = max((each.document.period.end for each in in_force), default=EPOCH)
    after = begin
    while (first := tx.charged(tenant_id).first(after)) is not None:
        month = month_of(first, zone)
        # Where the time zone has changed, the month is cut, so that none is counted twice.
        period = Period(max(after, month.start), month.end)
        if over is not None and period.end > over:
            return None
        lines = _lines(tx, tenant_id, period, [])
        lines += _late_lines(tx, tenant_id, period.start, in_force)
        if lines:
            return period, lines
        after = month.end
    lines = _late_lines(tx, tenant_id, begin, in_force)
    period = Period(begin, month_of(begin, zone).end)
    return (period, lines) if lines and (over is None or period.end <= over) else None


def _late_lines(
    tx: InvoicingTransaction, tenant_id: str, start: datetime, in_force: Sequence[Invoice]
) -> list[Line]:
    """What the ledger holds from before `start` and no invoice in force has asked for yet.

    The periods that they have asked for never overlap. What lies between them had nothing to
    charge when they were drawn up, or was on an invoice that is void.
    """
    charged = tx.charged(tenant_id)
    if not charged.count_before(start) or _is_settled(tx, tenant_id, start, in_force):
        return []
    asked = {
        *(each.document.period for each in in_force),
        *(line.period for each in in_force for line in each.document.lines),
    }
    lines: list[Line] = []
    before = EPOCH
    for period in [*sorted(each for each in asked if each.end <= start), Period(start, start)]:
        for each in (Period(before, period.start), period):
            if each.start < each.end:
                lines += _lines(tx, tenant_id, each, charged_before(in_force, each))
        before = period.end
    return lines


def _is_settled(
    tx: InvoicingTransaction, tenant_id: str, start: datetime, in_force: Sequence[Invoice]
) -> bool:
    """Whether nothing has come in since the last invoice that could be on none: it saves adding
    up all months anew.
    """
    if not in_force or tx.invoices(tenant_id).any_void():
        return False
    last = max(in_force, key=lambda each: each.document.period)
    return tx.charged(tenant_id).count_before(start) == last.document.events


def _lines(
    tx: InvoicingTransaction, tenant_id: str, period: Period, before: Sequence[Charge]
) -> list[Line]:
    """What the ledger has for the period, less what was asked for `before`."""
    used = tx.charged(tenant_id).used(period)
    price_ids = {each.price_id for each in used} | {charge.price_id for charge in before}
    prices = tx.ledger().prices(price_ids)
    return [
        Line(charge, period, _item(tx, charge), _terms(charge, prices[charge.price_id]))
        for charge in late(charges(used, prices), before)
    ]


def _item(tx: InvoicingTransaction, charge: Charge) -> str:
    if not charge.deployment:
        return "platform"
    if not charge.owner_id:
        return charge.deployment
    return f"{tx.tenants().get(charge.owner_id).name}/{charge.deployment}"


def _terms(charge: Charge, price: Price) -> str:
    rate = None if charge.unit is None else price.rate(charge.unit)
    return "minimum" if rate is None else rate.terms


def profile_of(tx: InvoicingTransaction, tenant_id: str) -> BillingProfile:
    found = tx.billing_profiles(tenant_id).get()
    return found or BillingProfile(Party(tx.tenants().get(tenant_id).name))
