"""What is used of the platform itself, across tenants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, select

from modelyard.adapters.store.jobs import JOB
from modelyard.adapters.store.prices import PRICE, price_of
from modelyard.adapters.store.tables import (
    dataset_versions,
    jobs,
    model_versions,
    platform_usage,
    prices,
    tenants,
)
from modelyard.adapters.store.tenant_rows import upsert, was_written
from modelyard.billing.price import Price, PriceHistory
from modelyard.billing.rate import Unit
from modelyard.core.clock import microseconds
from modelyard.core.jobs import Job
from modelyard.core.metering import charged_training
from modelyard.tenancy.tenant import DEFAULT

TRAINING: Final = "train"


class SqlPlatformLedger:
    """The ledger of training time and storage."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_training(self, since: datetime) -> int:
        statement = (
            select(*JOB)
            .outerjoin(platform_usage, platform_usage.c.id == jobs.c.id)
            .where(jobs.c.kind == TRAINING, jobs.c.finished_at > since)
            .where(jobs.c.started_at.is_not(None), platform_usage.c.id.is_(None))
        )
        return self._add(
            (job.id, job.tenant_id, job.finished_at, Unit.TRAINING_SECOND, worked)
            for job in (Job(*row) for row in self._connection.execute(statement))
            if job.finished_at is not None and (worked := charged_training(job))
        )

    def add_storage(self, hour: datetime) -> int:
        stored: defaultdict[str, int] = defaultdict(int)
        of_datasets = select(dataset_versions.c.tenant_id, func.sum(dataset_versions.c.size))
        for tenant_id, size in self._connection.execute(
            of_datasets.group_by(dataset_versions.c.tenant_id)
        ):
            stored[tenant_id] += int(size)
        of_models = select(model_versions.c.tenant_id, model_versions.c.artifacts)
        for tenant_id, artifacts in self._connection.execute(of_models):
            stored[tenant_id] += sum(artifact.size for artifact in artifacts)
        return self._add(
            (f"{tenant_id}/{hour:%Y-%m-%dT%H}", tenant_id, hour, Unit.GB_HOUR, size)
            for tenant_id, size in stored.items()
            if size
        )

    def _add(self, entries: Iterable[tuple[str, str, datetime, Unit, int]]) -> int:
        book = [price_of(row) for row in self._connection.execute(_BOOK)]
        rows = [
            {
                "id": entry_id,
                "tenant_id": tenant_id,
                "at": microseconds(at),
                "unit": unit,
                "quantity": quantity,
                "price_id": _history(book, unit, tenant_id).id_at(microseconds(at)),
            }
            for entry_id, tenant_id, at, unit, quantity in entries
        ]
        statement = upsert(self._connection.dialect, platform_usage).on_conflict_do_nothing()
        return sum(was_written(self._connection, statement.values(**row)) for row in rows)


_BOOK: Final = (
    select(*PRICE)
    .join(tenants, tenants.c.id == prices.c.tenant_id)
    .where(tenants.c.name == DEFAULT, prices.c.deployment == "")
)


def _history(book: Iterable[Price], unit: Unit, tenant_id: str) -> PriceHistory:
    """Training and storage may have prices of their own."""
    of_unit = (price for price in book if not price.rates or price.rate(unit) is not None)
    return PriceHistory(of_unit, tenant_id)
