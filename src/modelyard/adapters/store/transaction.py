"""The store: transactions that offer every room the repositories it asks for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from modelyard.adapters.store.board import SqlBoard
from modelyard.adapters.store.catalogue import SqlCatalogue, SqlListings, SqlSubscriptions
from modelyard.adapters.store.charged import SqlCharged
from modelyard.adapters.store.datasets import SqlDatasets
from modelyard.adapters.store.deployments import SqlDeployments
from modelyard.adapters.store.engine import reading
from modelyard.adapters.store.idempotency import SqlIdempotency
from modelyard.adapters.store.invoices import SqlCredits, SqlInvoices, SqlProfiles, SqlSeries
from modelyard.adapters.store.jobs import SqlJobs
from modelyard.adapters.store.keys import SqlKeys, SqlTenants
from modelyard.adapters.store.ledger import SqlLedger
from modelyard.adapters.store.models import SqlModels
from modelyard.adapters.store.people import SqlMembers, SqlUsers
from modelyard.adapters.store.platform import SqlPlatformLedger
from modelyard.adapters.store.prices import SqlPrices
from modelyard.adapters.store.providers import SqlProviders
from modelyard.adapters.store.queue import SqlQueue
from modelyard.adapters.store.quotas import SqlBudgets, SqlQuotas
from modelyard.adapters.store.tables import revision
from modelyard.adapters.store.uploads import SqlUploads
from modelyard.adapters.store.usage import SqlUsage
from modelyard.core.errors import Conflict, Invalid, Unavailable

_log = logging.getLogger(__name__)

REVISION: Final = select(revision.c.number)


class SqlTransaction:
    """One transaction. It is good inside its `with` block and on the thread that opened it."""

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self._connection = connection
        self._writes = writes
        self._bumped = False

    def tenants(self) -> SqlTenants:
        return SqlTenants(self._connection)

    def keys(self, tenant_id: str) -> SqlKeys:
        return SqlKeys(self._connection, tenant_id, writes=self._writes)

    def users(self) -> SqlUsers:
        return SqlUsers(self._connection)

    def members(self, tenant_id: str) -> SqlMembers:
        return SqlMembers(self._connection, tenant_id, writes=self._writes)

    def listings(self, tenant_id: str) -> SqlListings:
        return SqlListings(self._connection, tenant_id, writes=self._writes)

    def catalogue(self, tenant_id: str) -> SqlCatalogue:
        return SqlCatalogue(self._connection, tenant_id)

    def subscriptions(self, tenant_id: str) -> SqlSubscriptions:
        return SqlSubscriptions(self._connection, tenant_id, writes=self._writes)

    def models(self, tenant_id: str) -> SqlModels:
        return SqlModels(self._connection, tenant_id, writes=self._writes)

    def datasets(self, tenant_id: str) -> SqlDatasets:
        return SqlDatasets(self._connection, tenant_id, writes=self._writes)

    def uploads(self, tenant_id: str) -> SqlUploads:
        return SqlUploads(self._connection, tenant_id, writes=self._writes)

    def jobs(self, tenant_id: str) -> SqlJobs:
        return SqlJobs(self._connection, tenant_id, writes=self._writes)

    def queue(self) -> SqlQueue:
        return SqlQueue(self._connection)

    def deployments(self, tenant_id: str) -> SqlDeployments:
        return SqlDeployments(self._connection, tenant_id, writes=self._writes)

    def providers(self, tenant_id: str) -> SqlProviders:
        return SqlProviders(self._connection, tenant_id, writes=self._writes)

    def board(self) -> SqlBoard:
        return SqlBoard(self._connection)

    def prices(self, tenant_id: str) -> SqlPrices:
        return SqlPrices(self._connection, tenant_id, writes=self._writes)

    def quotas(self, tenant_id: str) -> SqlQuotas:
        return SqlQuotas(self._connection, tenant_id, writes=self._writes)

    def budgets(self) -> SqlBudgets:
        return SqlBudgets(self._connection)

    def usage(self, tenant_id: str) -> SqlUsage:
        return SqlUsage(self._connection, tenant_id, writes=self._writes)

    def ledger(self) -> SqlLedger:
        return SqlLedger(self._connection)

    def charged(self, tenant_id: str) -> SqlCharged:
        return SqlCharged(self._connection, tenant_id, writes=self._writes)

    def invoices(self, tenant_id: str) -> SqlInvoices:
        return SqlInvoices(self._connection, tenant_id, writes=self._writes)

    def credits(self, tenant_id: str) -> SqlCredits:
        return SqlCredits(self._connection, tenant_id, writes=self._writes)

    def billing_profiles(self, tenant_id: str) -> SqlProfiles:
        return SqlProfiles(self._connection, tenant_id, writes=self._writes)

    def platform_ledger(self) -> SqlPlatformLedger:
        return SqlPlatformLedger(self._connection)

    def series(self) -> SqlSeries:
        return SqlSeries(self._connection)

    def idempotency(self, tenant_id: str) -> SqlIdempotency:
        return SqlIdempotency(self._connection, tenant_id, writes=self._writes)

    def revision(self) -> int:
        """How often what gateways and controller follow has changed."""
        number: int = self._connection.execute(REVISION).scalar_one()
        return number

    def bump(self) -> None:
        """Raise the revision when this commits."""
        self._bumped = True

    def close(self) -> None:
        """What is left to do before the commit.

        The revision's row comes last: all who bump wait for each other there, so nobody may hold
        it while waiting for something else.
        """
        if self._bumped:
            self._connection.execute(update(revision).values(number=revision.c.number + 1))


class SqlStore:
    """Transactions on one database. Safe to share between threads.

    Raises from both: Unavailable when the database is away or busy, Invalid for a value that
    it cannot hold, Conflict for a clash that no repository foresaw.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reader = reading(engine)
        self._away = False

    @contextmanager
    def begin(self) -> Iterator[SqlTransaction]:
        """A transaction that may write."""
        with self.connection(writes=True) as connection:
            transaction = SqlTransaction(connection, writes=True)
            yield transaction
            transaction.close()

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        """A transaction that only reads, on one consistent state."""
        with self.connection(writes=False) as connection:
            yield SqlTransaction(connection, writes=False)

    @contextmanager
    def connection(self, *, writes: bool) -> Iterator[Connection]:
        """A transaction for this package's own statements."""
        with self._translated():
            if writes:
                with self.engine.begin() as connection:
                    yield connection
            else:
                with self._reader.connect() as connection:
                    yield connection

    def close(self) -> None:
        """Close the idle connections."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The library's errors as ours; what the database said is logged, not told to callers."""
        try:
            yield
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            # Whoever polls finds it away many times a second: once is enough.
            if not self._away:
                said = str(getattr(error, "orig", error))
                _log.warning("the database is not available", extra={"error": said})
            self._away = True
            raise Unavailable("the database is not available at the moment; try again") from error
        except DataError as error:
            raise Invalid("a value is too large or has a character that cannot be kept") from error
        except IntegrityError as error:
            _log.warning("a write clashed with another", extra={"error": str(error.orig)})
            raise Conflict("this clashes with another write; look again and retry") from error
        if self._away:
            _log.info("the database is back")
            self._away = False
