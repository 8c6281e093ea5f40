"""Quotas of one tenant; and the budgets of all, as the controller keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec.structs import asdict, replace
from sqlalchemy import Connection, Row, Select, and_, func, insert, literal, select, update

from modelyard.adapters.rates import history_of, rates_of
from modelyard.adapters.routes import wanted_quota
from modelyard.adapters.spending import deployments_of, needs_prices, spending
from modelyard.adapters.store.prices import PRICE, price_of, prices_of
from modelyard.adapters.store.tables import (
    budget_alerts,
    budget_periods,
    deployments,
    prices,
    quotas,
    tenants,
    usage_events,
)
from modelyard.adapters.store.tenant_rows import TenantRows, upsert
from modelyard.adapters.store.usage import ALL, PRODUCED, total
from modelyard.billing.price import Price
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.events import PredictionMade
from modelyard.core.metering import Quantities
from modelyard.core.pages import Page, PageRequest
from modelyard.core.quotas import Period
from modelyard.serving.limits.charges import FREE, Rates, amount
from modelyard.serving.limits.quota import WantedQuota
from modelyard.tenancy.ports import Spending
from modelyard.tenancy.quota import MAX_QUOTAS, Alert, Quota

QUOTA: Final = tuple(quotas.c[name] for name in Quota.__struct_fields__)
_ALERT: Final = tuple(budget_alerts.c[name] for name in Alert.__struct_fields__)
_PLACE: Final = (
    "tenant_id", "key_id", "measure", "period", "imposed", "deployment", "each_caller"
)  # fmt: skip
_CHANGED: Final = ("amount", "strict", "alert_at", "updated_at")
BUDGETS: Final = [period for period in Period if period.is_budget]

_LATEST: Final = (
    select(func.max(budget_periods.c.since))
    .where(budget_periods.c.quota_id == quotas.c.id)
    .correlate(quotas)
    .scalar_subquery()
)


def with_latest_period(*columns: Any) -> Select[Any]:
    """Quotas with the period of each that began last, if there is any."""
    latest = and_(budget_periods.c.quota_id == quotas.c.id, budget_periods.c.since == _LATEST)
    return select(*columns).select_from(quotas.outerjoin(budget_periods, latest))


def quota_of(values: Sequence[Any]) -> Quota:
    """The quota in the values of `QUOTA`."""
    quota = Quota(*values)
    return quota if quota.key_id else replace(quota, key_id=None)


class SqlQuotas(TenantRows):
    """The quotas of one tenant."""

    def put(self, quota: Quota) -> Quota:
        count = self._connection.execute(select(func.count()).select_from(quotas)).scalar_one()
        values = asdict(quota) | {"key_id": quota.key_id or ""}
        del values["tenant_id"]
        statement = self._upsert(quotas, **values)
        row = self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=_PLACE,
                set_={name: statement.excluded[name] for name in _CHANGED},
            ).returning(*QUOTA)
        ).one()
        kept = quota_of(row)
        if kept.id == quota.id and count >= MAX_QUOTAS:
            raise Conflict(f"there are {MAX_QUOTAS} quotas already: remove some first")
        # What was told was told of another amount.
        self._connection.execute(
            update(budget_periods).where(budget_periods.c.quota_id == kept.id).values(told=0)
        )
        return kept

    def get(self, quota_id: str) -> Quota:
        statement = self._select(quotas, *QUOTA).where(quotas.c.id == quota_id)
        row = self._connection.execute(statement).one_or_none()
        if row is None:
            raise NotFound(f"there is no quota '{quota_id}'")
        return quota_of(row)

    def list(self, page: PageRequest) -> Page[Quota]:
        statement = self._select(quotas, *QUOTA)
        if page.after is not None:
            statement = statement.where(quotas.c.id < page.after)
        rows = self._connection.execute(
            statement.order_by(quotas.c.id.desc()).limit(page.limit + 1)
        )
        return Page.cut([quota_of(row) for row in rows], page, lambda quota: quota.id)

    def remove(self, quota_id: str) -> None:
        gone = self._connection.execute(self._delete(quotas).where(quotas.c.id == quota_id))
        if not gone.rowcount:
            raise NotFound(f"there is no quota '{quota_id}'")

    def spent(self, quota_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        columns = (quotas.c.id, budget_periods.c.since, budget_periods.c.spent)
        rows = self._connection.execute(
            with_latest_period(*columns).where(
                self._own(quotas), quotas.c.id.in_(quota_ids), budget_periods.c.since.is_not(None)
            )
        )
        return {quota_id: (since, spent) for quota_id, since, spent in rows}

    def alerts(self, page: PageRequest) -> Page[Alert]:
        statement = self._select(budget_alerts, *_ALERT)
        if page.after is not None:
            statement = statement.where(budget_alerts.c.id < page.after)
        rows = self._connection.execute(
            statement.order_by(budget_alerts.c.id.desc()).limit(page.limit + 1)
        )
        return Page.cut([_alert(row) for row in rows], page, lambda alert: alert.id)


class SqlBudgets:
    """The budgets of all tenants."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> list[Quota]:
        return self._quotas(select(*QUOTA))

    def callers(self) -> list[str]:
        return list(self._connection.execute(select(tenants.c.id)).scalars())

    def unopened(self) -> list[Quota]:
        return self._quotas(select(*QUOTA).where(quotas.c.opened.is_(False)))

    def open(self, quota_id: str, since: int, spent: int) -> None:
        self._count([(quota_id, since, spent)])
        self._connection.execute(update(quotas).where(quotas.c.id == quota_id).values(opened=True))

    def spent(self, quota: Quota, since: int, until: int) -> int:
        events = usage_events.c
        statement = (
            select(
                events.price_id,
                total(literal(1), ALL),
                total(events.rows, ALL),
                total(events.prompt_tokens - events.cached_tokens, PRODUCED),
                *(
                    total(column, PRODUCED)
                    for column in (events.cached_tokens, events.completion_tokens, events.compute)
                ),
            )
            .where(events.tenant_id == quota.tenant_id, events.at >= since, events.at < until)
            .group_by(events.price_id)
        )
        if quota.key_id is not None:
            statement = statement.where(events.key_id == quota.key_id)
        groups = self._connection.execute(statement).all()
        rates = self._rates({price_id for price_id, *_ in groups if price_id is not None})
        return sum(
            amount(quota.measure, Quantities(*map(int, used)), rates.get(price_id, FREE))
            for price_id, *used in groups
        )

    def _rates(self, price_ids: set[str]) -> dict[str, Rates]:
        rows = self._connection.execute(select(*PRICE).where(prices.c.id.in_(sorted(price_ids))))
        return {row.id: rates_of(price_of(row)) for row in rows}

    def charge(self, events: Sequence[PredictionMade]) -> None:
        budgets = self._quotas(select(*QUOTA).where(quotas.c.opened, quotas.c.period.in_(BUDGETS)))
        if not budgets:
            return
        deployed = deployments_of(events) if needs_prices(budgets) else set()
        spent = spending(budgets, events, prices_of(self._connection, deployed))
        self._count([(*key, cost) for key, cost in spent.items()])

    def spending(self) -> list[Spending]:
        period = budget_periods.c
        rows = self._connection.execute(
            with_latest_period(*QUOTA, period.since, period.spent, period.told).where(
                quotas.c.opened, period.since.is_not(None)
            )
        )
        width = len(QUOTA)
        return [Spending(quota_of(row[:width]), *row[width:]) for row in rows]

    def tell(self, alert: Alert, told: int) -> None:
        self._connection.execute(
            insert(budget_alerts).values(asdict(alert) | {"key_id": alert.key_id or ""})
        )
        self._connection.execute(
            update(budget_periods)
            .where(budget_periods.c.quota_id == alert.quota_id)
            .values(told=told)
        )

    def _count(self, amounts: Iterable[tuple[str, int, int]]) -> None:
        rows = [
            {"quota_id": quota_id, "since": since, "spent": spent, "told": 0}
            for quota_id, since, spent in amounts
        ]
        if not rows:
            return
        statement = upsert(self._connection.dialect, budget_periods)
        self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=["quota_id", "since"],
                set_={"spent": budget_periods.c.spent + statement.excluded.spent},
            ),
            rows,
        )

    def _quotas(self, statement: Select[Any]) -> list[Quota]:
        rows = self._connection.execute(statement.order_by(quotas.c.id))
        return [quota_of(row) for row in rows]


def _alert(row: Row[*tuple[Any, ...]]) -> Alert:
    alert = Alert(*row)
    return alert if alert.key_id else replace(alert, key_id=None)


def wanted_quotas(connection: Connection) -> list[WantedQuota]:
    """All quotas in force, as gateways know them."""
    rows = connection.execute(
        with_latest_period(*QUOTA, budget_periods.c.since, budget_periods.c.spent).where(
            quotas.c.opened
        )
    )
    width = len(QUOTA)
    return [
        wanted_quota(quota_of(row[:width]), row[width] or 0, row[width + 1] or 0) for row in rows
    ]


def rates_of_deployments(connection: Connection) -> dict[str, tuple[Rates, ...]]:
    """The rates of each deployment that has prices, by its id."""
    of_it = and_(
        prices.c.tenant_id == deployments.c.tenant_id,
        prices.c.deployment == deployments.c.name,
    )
    rows = connection.execute(select(deployments.c.id, *PRICE).join(prices, of_it))
    found: dict[str, list[Price]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(price_of(row))
    return {deployment_id: history_of(of_one) for deployment_id, of_one in found.items()}
