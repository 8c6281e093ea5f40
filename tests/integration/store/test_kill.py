"""What a commit acknowledged survives the process."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelyard.adapters.store import open_store, sqlite_url
from modelyard.core.clock import ManualClock
from modelyard.core.uploads import Upload
from modelyard.tenancy.tenant import Tenant

NOW = ManualClock().now()
WRITE = """
import sys
from pathlib import Path
from modelyard.adapters.store import open_store, sqlite_url
from modelyard.core.clock import ManualClock
from modelyard.core.uploads import Upload

store = open_store(sqlite_url(Path(sys.argv[1])))
number = int(sys.argv[2])
while True:
    with store.begin() as tx:
        tx.uploads("tnt_a").add(Upload(f"{number:064x}", 2 * number, ManualClock().now()))
        tx.bump()
    print(number, flush=True)
    number += 1
"""


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    store = open_store(sqlite_url(path))
    with store.begin() as tx:
        tx.tenants().add(Tenant("tnt_a", "a", NOW))
    acknowledged: list[int] = []
    for life in range(4):
        command = [sys.executable, "-c", WRITE, str(path), str(life * 1_000_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged.append(int(writer.stdout.readline()))
            time.sleep(random.uniform(0.02, 0.2))
            writer.kill()
            # The last line may be cut short by the kill; whole lines were acknowledged.
            rest = writer.stdout.read()
            acknowledged += [int(line) for line in rest.splitlines(True) if line.endswith("\n")]
    with store.read() as tx:
        for number in acknowledged:
            upload = tx.uploads("tnt_a").get(f"{number:064x}")
            assert upload == Upload(f"{number:064x}", 2 * number, NOW)
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        kept = connection.execute("SELECT count(*) FROM uploads").fetchone()[0]
        bumped = connection.execute("SELECT number FROM revision").fetchone()[0]
    connection.close()
    # A transaction is there as a whole or not at all.
    assert len(acknowledged) <= kept == bumped <= len(acknowledged) + 4
