"""Invoices, credit and billing profiles of one tenant, and the numbers that they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from modelyard.adapters.store.tables import billing_profiles, credits, invoices, number_series
from modelyard.adapters.store.tenant_rows import TenantRows, upsert
from modelyard.billing.credit import Credit
from modelyard.billing.invoice import Invoice, InvoiceState
from modelyard.billing.profile import BillingProfile
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest

_INVOICE: Final = tuple(invoices.c[name] for name in Invoice.__struct_fields__)
_CREDIT: Final = tuple(credits.c[name] for name in Credit.__struct_fields__)


class SqlInvoices(TenantRows):
    """The invoices of one tenant."""

    def add(self, draft: Invoice) -> None:
        if not self._added(invoices, **_values(draft)):
            raise Conflict("there is a draft already")

    def change(self, invoice: Invoice) -> None:
        values = _values(invoice)
        change = self._update(invoices).where(invoices.c.id == values.pop("id"))
        self._connection.execute(change.values(**values))

    def get(self, invoice_id: str) -> Invoice:
        statement = self._select_to_change(invoices, *_INVOICE).where(invoices.c.id == invoice_id)
        row = self._connection.execute(statement).one_or_none()
        if row is None:
            raise NotFound(f"there is no invoice '{invoice_id[:80]}'")
        return Invoice(*row)

    def draft(self) -> Invoice | None:
        found = self._where_state(InvoiceState.DRAFT)
        return found[0] if found else None

    def in_force(self) -> list[Invoice]:
        return self._where_state(InvoiceState.FINAL, InvoiceState.PAID)

    def any_void(self) -> bool:
        statement = self._select(invoices, func.count())
        void = statement.where(invoices.c.state == InvoiceState.VOID)
        return bool(self._connection.execute(void).scalar_one())

    def _where_state(self, *states: InvoiceState) -> list[Invoice]:
        statement = self._select(invoices, *_INVOICE).where(invoices.c.state.in_(states))
        rows = self._connection.execute(statement.order_by(invoices.c.id))
        return [Invoice(*row) for row in rows]

    def list(self, page: PageRequest) -> Page[Invoice]:
        statement = self._select(invoices, *_INVOICE)
        if page.after is not None:
            statement = statement.where(invoices.c.id < page.after)
        rows = self._connection.execute(
            statement.order_by(invoices.c.id.desc()).limit(page.limit + 1)
        )
        return Page.cut([Invoice(*row) for row in rows], page, lambda invoice: invoice.id)


class SqlCredits(TenantRows):
    """The credit of one tenant."""

    def add(self, credit: Credit) -> None:
        values = {name: getattr(credit, name) for name in Credit.__struct_fields__}
        self._connection.execute(self._insert(credits, **values))

    def list(self) -> Sequence[Credit]:
        rows = self._connection.execute(
            self._select(credits, *_CREDIT).order_by(credits.c.id.desc())
        )
        return [Credit(*row) for row in rows]


class SqlProfiles(TenantRows):
    """The billing profile of one tenant."""

    def get(self) -> BillingProfile | None:
        statement = self._select(billing_profiles, billing_profiles.c.profile)
        return self._connection.execute(statement).scalar_one_or_none()

    def put(self, profile: BillingProfile) -> None:
        statement = self._upsert(billing_profiles, profile=profile)
        self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[billing_profiles.c.tenant_id],
                set_={"profile": statement.excluded.profile},
            )
        )


class SqlSeries:
    """Numbers without gaps, across tenants."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, series: str) -> None:
        statement = upsert(self._connection.dialect, number_series).values(series=series, last=0)
        self._connection.execute(statement.on_conflict_do_nothing())
        locked = select(number_series.c.last).where(number_series.c.series == series)
        self._connection.execute(locked.with_for_update())

    def next(self, series: str) -> str:
        self.lock(series)
        number = self._connection.execute(
            update(number_series)
            .where(number_series.c.series == series)
            .values(last=number_series.c.last + 1)
            .returning(number_series.c.last)
        ).scalar_one()
        return f"{series}-{number:06}"


def _values(invoice: Invoice) -> dict[str, Any]:
    values = {name: getattr(invoice, name) for name in Invoice.__struct_fields__}
    return {**values, "number": invoice.document.number}
