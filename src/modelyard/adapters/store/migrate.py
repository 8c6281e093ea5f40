"""Bringing a database to this release's schema."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    inspect,
    text,
)

from modelyard.adapters.store.tables import metadata
from modelyard.adapters.store.tables import revision as schema_revision
from modelyard.adapters.store.transaction import SqlStore
from modelyard.core.errors import Conflict

HEAD: Final = "0016"
"""The newest revision in `migrations/versions`."""

_ALEMBIC: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Where Alembic itself keeps the revision."""
_SCRIPTS: Final = Path(__file__).parent / "migrations"
_POSTGRES_LOCK: Final = 0x6D6F_6465_6C79_6172
"""An arbitrary number that all releases agree on."""


def migrate(store: SqlStore) -> None:
    """Apply what is missing, all of it or nothing, while every other process waits.

    Raises:
        Unavailable: the database is away.
        Conflict: a newer release has been here.
    """
    with store.connection(writes=True) as connection, _as_long_as_it_takes(connection):
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
        # On SQLite the transaction has begun with the write lock.
        found = _version(connection)
        if found is None:
            _create(connection)
        elif found != HEAD:
            _upgrade(connection)


def revision(store: SqlStore) -> str | None:
    """The schema's revision as it is; None if there is no schema yet.

    Raises:
        Unavailable: the database is away.
    """
    with store.connection(writes=False) as connection:
        return _version(connection)


def _as_long_as_it_takes(connection: Connection) -> AbstractContextManager[None]:
    if connection.dialect.name != "postgresql":
        return nullcontext()
    from modelyard.adapters.store.patience import unlimited

    return unlimited(connection)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _create(connection: Connection) -> None:
    """A new database has nothing to bring along: it gets at once what all the scripts come to."""
    metadata.create_all(connection, checkfirst=False)
    connection.execute(schema_revision.insert().values(id=1, number=0))
    _ALEMBIC.create(connection)
    connection.execute(_ALEMBIC.insert().values(version_num=HEAD))


def _upgrade(connection: Connection) -> None:
    # Here and not above: every gateway comes by, and a current schema needs none of it.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Conflict(
            "the database was made by a newer release of Modelyard: run that one, "
            "or restore a backup from before the upgrade"
        ) from error
