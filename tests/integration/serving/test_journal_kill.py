"""`kill -9` at random moments: what was acknowledged is billed exactly once."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from modelyard.adapters.journal import JournalFiles
from modelyard.adapters.store import SqlStore
from modelyard.billing.ingest import Ingester
from modelyard.billing.usage import UsageBy, UsageQuery
from modelyard.core.journal import unframe
from tests.databases import store_at

PROCESSES = str(Path(__file__).with_name("journal_processes.py"))


def start(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, PROCESSES, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def kill(process: subprocess.Popen[bytes]) -> list[str]:
    """End it at once; what it had said until then."""
    process.kill()
    said, _ = process.communicate()
    return said.decode().split()


def billed(store: SqlStore) -> Counter[str]:
    with store.read() as tx:
        sums = tx.usage("tnt_1").sums(UsageQuery(by=(UsageBy.KEY,)))
    return Counter({each.groups[0]: each.requests for each in sums})


@pytest.mark.parametrize("sync", ["interval", "always"])
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path, sync: str) -> None:
    dice = random.Random(7)
    acknowledged: list[str] = []
    for turn in range(30):
        writer = start("write", tmp_path, turn * 1_000_000, sync)
        assert writer.stdout is not None
        first = writer.stdout.readline().decode().strip()
        time.sleep(dice.uniform(0, 0.03))
        acknowledged += [first, *kill(writer)]
    journals = tmp_path.glob("*.journal")
    written = Counter(made.key_id for file in journals for _, made in unframe(file.read_bytes()))
    assert len(acknowledged) > 30
    assert set(acknowledged) <= set(written)
    assert set(written.values()) == {1}


def test_killed_writers_and_killed_ingesters_bill_each_record_once(tmp_path: Path) -> None:
    dice, database, folder = random.Random(11), tmp_path / "db", tmp_path / "journal"
    store = store_at(database)
    acknowledged: list[str] = []
    folder.mkdir()
    for turn in range(6):
        ingester = start("ingest", folder, database)
        writer = start("write", folder, turn * 1_000_000, "interval")
        assert ingester.stdout is not None
        assert writer.stdout is not None
        assert ingester.stdout.readline() == b"ready\n"
        acknowledged.append(writer.stdout.readline().decode().strip())
        time.sleep(dice.uniform(0, 0.15))
        for process in dice.sample([writer, ingester], 2):
            said = kill(process)
            acknowledged += said if process is writer else []
            time.sleep(dice.uniform(0, 0.02))
    Ingester(store, JournalFiles(folder)).ingest()
    counted = billed(store)
    store.close()
    assert len(acknowledged) > 100
    assert all(acknowledged)
    assert set(acknowledged) <= set(counted)
    assert set(counted.values()) == {1}
    assert list(folder.glob("*.journal*")) == []
