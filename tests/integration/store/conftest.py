from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

from modelyard.adapters.store import sqlite_url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest) -> URL:
    """A database in which there is nothing at all."""
    url: URL = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> URL:
    return sqlite_url(tmp_path / "modelyard.db")


@pytest.fixture
def empty_postgres_url(request: pytest.FixtureRequest) -> Iterator[URL]:
    url = make_url(request.getfixturevalue("postgres_server").url)
    name = f"test_{secrets.token_hex(4)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield url.set(database=name)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
