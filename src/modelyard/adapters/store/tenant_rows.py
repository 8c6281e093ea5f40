"""Statements over the rows of one tenant: the one place where a tenant enters a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Dialect,
    Insert,
    Select,
    Table,
    Update,
    delete,
    insert,
    literal,
    select,
    update,
)

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

    Upsert = PostgresInsert | SqliteInsert


def upsert(dialect: Dialect, table: Table) -> Upsert:
    """An INSERT that can say what happens on a conflict; both databases have the same form."""
    # One of the two is needed, and each takes its time to load.
    if dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgres_insert

        return postgres_insert(table)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table)


def was_written(connection: Connection, statement: Upsert) -> bool:
    """Execute; False when the row was there and the statement left it alone."""
    returning = statement.returning(literal(1))
    return connection.execute(returning).first() is not None


class TenantRows:
    """Base of the repositories that belong to a tenant.

    `writes` says that the transaction may write. What such a transaction reads in order to
    change it, it locks (`_select_to_change`); SQLite has locked everything already.
    """

    def __init__(self, connection: Connection, tenant_id: str, *, writes: bool) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._writes = writes

    def _select(self, table: Table, *columns: ColumnElement[Any]) -> Select[Any]:
        return select(*(columns or (table,))).where(self._own(table))

    def _select_to_change(self, table: Table, *columns: ColumnElement[Any]) -> Select[Any]:
        statement = self._select(table, *columns)
        return statement.with_for_update() if self._writes else statement

    def _insert(self, table: Table, /, **values: Any) -> Insert:
        return insert(table).values(tenant_id=self._tenant_id, **values)

    def _upsert(self, table: Table, /, **values: Any) -> Upsert:
        statement = upsert(self._connection.dialect, table)
        return statement.values(tenant_id=self._tenant_id, **values)

    def _added(self, table: Table, /, **values: Any) -> bool:
        """Insert a row; False when it clashes with one that is there."""
        statement = self._upsert(table, **values).on_conflict_do_nothing()
        return was_written(self._connection, statement)

    def _update(self, table: Table) -> Update:
        return update(table).where(self._own(table))

    def _delete(self, table: Table) -> Delete:
        return delete(table).where(self._own(table))

    def _own(self, table: Table) -> ColumnElement[bool]:
        return table.c.tenant_id == self._tenant_id
