"""The database: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

from sqlalchemy.engine import URL

from modelyard.adapters.store.control_plane import SqlControlPlane
from modelyard.adapters.store.engine import make_engine, sqlite_url
from modelyard.adapters.store.lease import Lease
from modelyard.adapters.store.migrate import migrate
from modelyard.adapters.store.transaction import SqlStore

__all__ = ["Lease", "SqlControlPlane", "SqlStore", "make_engine", "open_store", "sqlite_url"]


def open_store(url: str | URL) -> SqlStore:
    """Open a database by its URL (`sqlite_url` makes that of a file), with its schema current.

    Raises:
        Invalid: not the URL of a database that is supported.
        Unavailable: the database is away.
        Conflict: a newer release has changed the schema.
    """
    store = SqlStore(make_engine(url))
    try:
        migrate(store)
    except BaseException:
        store.close()
        raise
    return store
