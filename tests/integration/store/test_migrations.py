from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ProgrammingError

from modelyard.adapters.store import SqlStore, open_store, tables
from modelyard.adapters.store.engine import make_engine
from modelyard.adapters.store.migrate import HEAD
from modelyard.adapters.store.tables import metadata, revision
from modelyard.billing.rate import Rate, Unit
from modelyard.core.errors import Conflict, Unavailable

SCRIPTS = Path(tables.__file__).parents[1] / "migrations"
OPEN = (
    "import sys; from modelyard.adapters.store import open_store; open_store(sys.argv[1]).close()"
)


def shown(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def upgrade(store: SqlStore, to: str) -> None:
    """Run the scripts up to this one."""
    with store.engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(SCRIPTS))
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def empty(store: SqlStore) -> None:
    """Drop every table."""
    there = MetaData()
    with store.engine.begin() as connection:
        there.reflect(connection)
        there.drop_all(connection)


TRIGGERS = {
    "sqlite": "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(pg_trigger.oid), "
    "proname, prosrc FROM pg_trigger JOIN pg_proc ON tgfoid = pg_proc.oid WHERE NOT tgisinternal",
}


def shape(store: SqlStore) -> dict[str, object]:
    """Everything that a database tells of its tables."""
    found = inspect(store.engine)
    with store.engine.connect() as connection:
        triggers = connection.execute(text(TRIGGERS[store.engine.dialect.name])).all()
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"])
                for column in found.get_columns(table)
            },
            "triggers": sorted(tuple(row) for row in triggers if row[0] == table),
            "primary key": found.get_pk_constraint(table),
            "foreign keys": sorted(map(str, found.get_foreign_keys(table))),
            "unique": sorted(map(str, found.get_unique_constraints(table))),
            "checks": sorted(map(str, found.get_check_constraints(table))),
            "indexes": sorted(
                str({**index, "dialect_options": list(map(str, index["dialect_options"].values()))})
                for index in found.get_indexes(table)
            ),
        }
        for table in found.get_table_names()
    }


def differences(store: SqlStore) -> list[object]:
    with store.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, metadata))


def test_a_new_database_is_what_the_scripts_make(empty_url: URL) -> None:
    store = SqlStore(make_engine(empty_url))
    upgrade(store, "head")
    assert differences(store) == []
    scripted = shape(store)
    rows = {}
    with store.engine.connect() as connection:
        for name in scripted:
            rows[name] = connection.execute(text(f"SELECT * FROM {name}")).all()
    empty(store)
    open_store(empty_url).close()
    created = shape(store)
    assert scripted.keys() == created.keys()
    for name, told in scripted.items():
        assert created[name] == told, name
    with store.engine.connect() as connection:
        for name, found in rows.items():
            assert connection.execute(text(f"SELECT * FROM {name}")).all() == found
    store.close()


def test_tables_of_somebody_else_are_left_alone(empty_url: URL) -> None:
    store = SqlStore(make_engine(empty_url))
    with store.engine.begin() as connection:
        connection.execute(text("CREATE TABLE jobs (theirs TEXT)"))
    with pytest.raises((Unavailable, ProgrammingError)) as refused:
        open_store(empty_url)
    assert "already exists" in f"{refused.value} {refused.value.__cause__}"
    assert shape(store).keys() == {"jobs"}
    store.close()


def test_a_difference_would_be_seen(empty_url: URL) -> None:
    store = open_store(empty_url)
    with store.engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_jobs_tenant_id_id"))
        connection.execute(text("ALTER TABLE jobs ADD COLUMN surprise TEXT"))
    assert len(differences(store)) == 2
    store.close()


def test_the_newest_script_is_the_one_that_is_asked_for() -> None:
    script = ScriptDirectory(str(SCRIPTS))
    assert script.get_heads() == [HEAD]


def test_opening_again_changes_nothing(empty_url: URL) -> None:
    first = open_store(empty_url)
    with first.begin() as tx:
        tx.bump()
    first.close()
    again = open_store(empty_url)
    with again.engine.connect() as connection:
        assert connection.execute(revision.select()).all() == [(1, 1)]
    again.close()


def test_a_newer_release_has_been_here(empty_url: URL) -> None:
    store = open_store(empty_url)
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(Conflict, match="newer release"):
        open_store(empty_url)


def test_many_processes_may_start_at_once(empty_url: URL) -> None:
    opening = [sys.executable, "-W", "error", "-c", OPEN, shown(empty_url)]
    with ThreadPoolExecutor(4) as threads:
        ended = list(
            threads.map(
                lambda _: subprocess.run(opening, capture_output=True, text=True, check=False),
                range(4),
            )
        )
    assert [(process.returncode, process.stderr) for process in ended] == [(0, "")] * 4
    store = open_store(empty_url)
    assert differences(store) == []
    store.close()


def test_prices_of_one_unit_become_rates(empty_url: URL) -> None:
    store = SqlStore(make_engine(empty_url))
    upgrade(store, "0005")
    with store.engine.begin() as connection:
        connection.execute(text("INSERT INTO tenants VALUES ('t', 'ours', 1)"))
        connection.execute(
            text(
                "INSERT INTO prices (id, tenant_id, deployment, unit, amount, currency, "
                "effective_from, input_amount, cached_amount) VALUES "
                "('p1', 't', 'd', 'row', '0.10', 'USD', 1000000, NULL, NULL), "
                "('p2', 't', 'd', 'token', '0.6', 'USD', 2000000, '0.2', NULL)"
            )
        )
    open_store(empty_url).close()
    with store.read() as tx:
        tokens, rows = tx.prices("t").list()
    assert rows.rates == (Rate.flat(Unit.ROW, Decimal("0.10")),)
    assert rows.effective_from == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert {unit: str(amount) for unit, amount in tokens.unit_amounts.items()} == {
        Unit.INPUT_TOKEN: "2E-7",
        Unit.CACHED_TOKEN: "2E-7",
        Unit.OUTPUT_TOKEN: "6E-7",
    }
    store.close()


def test_quotas_and_what_was_spent_of_them_outlive_a_change_of_their_table(empty_url: URL) -> None:
    store = SqlStore(make_engine(empty_url))
    upgrade(store, "0011")
    with store.engine.begin() as connection:
        connection.execute(text("INSERT INTO tenants VALUES ('t', 'ours', 1)"))
        connection.execute(
            text(
                "INSERT INTO quotas VALUES ('q', 't', '', 'rows', 'day', 9, true, 0, false, 'UTC', "
                "1, 1, true)"
            )
        )
        connection.execute(text("INSERT INTO budget_periods VALUES ('q', 0, 5, 0)"))
    open_store(empty_url).close()
    with store.read() as tx:
        assert tx.quotas("t").spent(["q"]) == {"q": (0, 5)}
        (quota,) = tx.budgets().all()
    assert (quota.amount, quota.deployment, quota.each_caller) == (9, "", False)
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM quotas"))
        assert connection.execute(text("SELECT count(*) FROM budget_periods")).scalar() == 0
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "0005"])
def test_a_killed_migration_is_taken_up_again(empty_url: URL, before: str) -> None:
    store = SqlStore(make_engine(empty_url))
    opening, whole = [sys.executable, "-c", OPEN, shown(empty_url)], 0.0
    for attempt in range(6):
        empty(store)
        if before:
            upgrade(store, before)
        tables = {*inspect(store.engine).get_table_names()}
        started = time.monotonic()
        process = subprocess.Popen(opening)
        if attempt:
            time.sleep(random.uniform(0.5, 1.0) * whole)
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        whole = whole or time.monotonic() - started
        # All of it or nothing: there is no state in between that anybody could see.
        found = {*inspect(store.engine).get_table_names()}
        assert found in (tables, {*metadata.tables, "alembic_version"})
        open_store(empty_url).close()
        assert differences(store) == []
    store.close()
