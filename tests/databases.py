"""Databases as a server makes them: migrated once for each process of tests, then copied."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from modelyard.adapters.store import SqlStore, open_store, sqlite_url


def store_at(path: Path) -> SqlStore:
    """A store on the SQLite file at `path`; one with the schema and nothing else if it is new."""
    if not path.exists():
        path.write_bytes(_empty())
    return open_store(sqlite_url(path))


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        open_store(sqlite_url(path)).close()
        return path.read_bytes()
