"""Connections to SQLite and PostgreSQL, set up so that both behave as the store promises.

SQLite: WAL with `synchronous=FULL` (a commit survives a power cut), and a writing transaction
takes its lock when it begins, so that it never finds out halfway that it must start again.
PostgreSQL: short time limits, so that a database which is away is noticed.
No error tells the values of a statement: they may be secrets.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from modelyard.core.errors import Invalid, NotInstalled

BUSY_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 3
STATEMENT_SECONDS: Final = 8
IDLE_SECONDS: Final = 30
POOL: Final = 5
OVERFLOW: Final = 10

_SQLITE_BEGIN: Final = "modelyard_sqlite_begin"


def make_engine(url: str | URL, *, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """An engine whose transactions write. Nothing is connected yet.

    `busy_seconds` is how long a transaction waits for another to end (SQLite) and for a
    connection to be free.

    Raises:
        Invalid: not a URL, or one of a database that is neither a SQLite file nor PostgreSQL.
        NotInstalled: the URL's driver is missing.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise Invalid("database_url is not a URL such as postgresql+psycopg://...") from None
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return _sqlite(parsed, busy_seconds)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed.set(drivername="postgresql+psycopg"), busy_seconds)
    raise Invalid("database_url must be of a SQLite file or of PostgreSQL (postgresql+psycopg://)")


def sqlite_url(path: Path) -> URL:
    """The URL of a database file, whatever characters its path holds."""
    return URL.create("sqlite", database=str(path))


def reading(engine: Engine) -> Engine:
    """The same engine, same pool, for transactions that read one consistent state."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_SQLITE_BEGIN: "BEGIN DEFERRED"})
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _sqlite(url: URL, busy_seconds: float) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": busy_seconds, "isolation_level": None},
        hide_parameters=True,
        pool_size=POOL,
        max_overflow=OVERFLOW,
        pool_timeout=busy_seconds,
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    try:
        _enable_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.OperationalError as error:
        # What happens in this hook is not wrapped by the library.
        raise OperationalError("PRAGMA", None, error) from error
    except sqlite3.DatabaseError as error:
        raise Invalid("the database's file is damaged or is no SQLite database") from error


def _enable_wal(connection: sqlite3.Connection) -> None:
    """Turn WAL on. While another process is at it too, SQLite refuses at once: ask again."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # The driver begins nothing by itself (isolation_level None).
    begin = connection.get_execution_options().get(_SQLITE_BEGIN, "BEGIN IMMEDIATE")
    connection.exec_driver_sql(begin)


def _postgresql(url: URL, busy_seconds: float) -> Engine:
    limits = (
        f"-c statement_timeout={STATEMENT_SECONDS}s "
        f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s -c timezone=UTC"
    )
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "modelyard",
        "tcp_user_timeout": CONNECT_SECONDS * 1000,
        "options": limits,
    }
    try:
        from modelyard.adapters.store.patience import use_patience

        engine = create_engine(
            url,
            connect_args={k: v for k, v in arguments.items() if k not in url.query},
            hide_parameters=True,
            pool_size=POOL,
            max_overflow=OVERFLOW,
            pool_timeout=busy_seconds,
            pool_pre_ping=True,
        )
    except ModuleNotFoundError:
        hint = "PostgreSQL needs an extra: pip install 'modelyard[postgres]'"
        raise NotInstalled(hint) from None
    use_patience(engine)
    return engine
