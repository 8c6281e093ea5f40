from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from modelyard.adapters.store import SqlControlPlane, SqlStore, engine, open_store, sqlite_url
from modelyard.core.clock import ManualClock
from modelyard.core.errors import Invalid, NotFound, Unavailable
from modelyard.tenancy.tenant import Tenant

NOW = ManualClock().now()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    # Characters that mean something in a URL mean nothing in a path.
    return tmp_path / "a b?mode=memory#c%20.db"


@pytest.fixture
def store(file: Path) -> Iterator[SqlStore]:
    store = open_store(sqlite_url(file))
    yield store
    store.close()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://host/name"]
)
def test_a_url_of_nothing_that_is_supported_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="database_url"):
        open_store(url)


def test_the_file_is_where_it_was_asked_for(store: SqlStore, file: Path) -> None:
    assert file.is_file()
    assert store.engine.url.database == str(file)


def test_every_connection_to_sqlite_is_durable(store: SqlStore) -> None:
    with (
        store.engine.connect() as one,
        store.engine.execution_options(
            modelyard_sqlite_begin="BEGIN DEFERRED"
        ).connect() as another,
    ):
        for connection in (another, one):
            asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            answers = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in asked]
            assert answers == ["wal", 2, 1, engine.BUSY_SECONDS * 1000]


def test_a_writer_on_sqlite_locks_when_it_begins(store: SqlStore) -> None:
    began: list[str] = []
    event.listen(
        store.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: began.append(statement),
    )
    with store.begin():
        assert began == ["BEGIN IMMEDIATE"]
        began.clear()
        with store.read() as tx, pytest.raises(NotFound):
            tx.tenants().named("nobody")
        assert began[0] == "BEGIN DEFERRED"


def test_a_reader_changes_nothing(empty_url: URL) -> None:
    store = open_store(empty_url)
    if store.engine.dialect.name == "postgresql":
        with store.read() as tx, pytest.raises(Exception, match="read-only transaction"):
            tx.tenants().add(Tenant("tnt_a", "a", NOW))
    else:
        with store.read() as tx:
            tx.tenants().add(Tenant("tnt_a", "a", NOW))
    with store.read() as tx, pytest.raises(NotFound):
        tx.tenants().named("a")
    store.close()


def test_a_busy_sqlite_is_unavailable(store: SqlStore, file: Path) -> None:
    hurried = SqlStore(engine.make_engine(sqlite_url(file), busy_seconds=0.1))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(Unavailable) as caught, hurried.begin():
            pytest.fail("began although another writes")
        with hurried.read() as tx, pytest.raises(NotFound):
            tx.tenants().named("nobody")
    finally:
        other.close()
        hurried.close()
    assert str(file) not in caught.value.message
    with store.begin() as tx:
        tx.tenants().add(Tenant("tnt_a", "a", NOW))


def test_a_writer_waits_for_another(store: SqlStore, file: Path) -> None:
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.2, other.close).start()
    started = time.monotonic()
    with store.begin() as tx:
        tx.bump()
    assert 0.1 < time.monotonic() - started < 5


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(Invalid, match="no SQLite database") as caught:
        open_store(sqlite_url(path))
    assert str(tmp_path) not in caught.value.message


@pytest.mark.postgres
def test_text_that_postgresql_cannot_hold_is_invalid(empty_postgres_url: URL) -> None:
    store = open_store(empty_postgres_url)
    with pytest.raises(Invalid), store.read() as tx:
        tx.tenants().named("a\x00b")
    store.close()


@pytest.mark.postgres
def test_a_lost_postgresql_is_unavailable_and_comes_back(
    empty_postgres_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "modelyard")
    store = open_store(empty_postgres_url)
    control = SqlControlPlane(store, ManualClock())

    def write() -> None:
        with store.begin() as tx:
            tx.tenants().add(Tenant("tnt_a", "a", NOW))
            _cut_off(empty_postgres_url)
            tx.tenants().named("a")

    with pytest.raises(Unavailable):
        write()
    assert [record.message for record in caplog.records] == ["the database is not available"]
    # Idle connections that were cut are noticed and replaced.
    assert control.revision() == 0
    assert caplog.records[-1].message == "the database is back"
    with store.read() as tx, pytest.raises(NotFound):
        tx.tenants().named("a")
    store.close()


@pytest.mark.postgres
def test_a_postgresql_that_is_not_there_is_unavailable(empty_postgres_url: URL) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = empty_postgres_url.set(port=free.getsockname()[1])
        with pytest.raises(Unavailable) as caught:
            open_store(url)
    assert str(url.password) not in caught.value.message


@pytest.mark.postgres
def test_a_postgresql_that_does_not_answer_is_given_up(empty_postgres_url: URL) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(Unavailable):
            open_store(empty_postgres_url.set(port=silent.getsockname()[1]))
    assert time.monotonic() - started < engine.CONNECT_SECONDS + 5


def _cut_off(url: URL) -> None:
    other = engine.make_engine(url)
    with other.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    other.dispose()


def test_an_error_does_not_tell_the_values(store: SqlStore) -> None:
    with pytest.raises(OperationalError) as caught, store.engine.begin() as connection:
        connection.execute(text("SELECT * FROM nowhere WHERE secret = :it"), {"it": "my_secret"})
    assert "my_secret" not in str(caught.value)
