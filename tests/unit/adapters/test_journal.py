"""Journal files as the ingester reads them: ends torn or damaged, kept or dropped."""

from pathlib import Path

import pytest

from modelyard.adapters.journal import JournalFiles
from modelyard.adapters.memory import MemoryStore
from modelyard.billing.ingest import Ingester
from modelyard.billing.usage import UsageQuery
from modelyard.core.events import PredictionMade
from modelyard.core.journal import frame


def framed(number: int) -> bytes:
    return frame(PredictionMade(f"req_{number}", 1, "t", "k", "d", "m", 1, 200, 2, 1, 1, 1))


def requests(store: MemoryStore) -> int:
    with store.read() as tx:
        return sum(each.requests for each in tx.usage("t").sums(UsageQuery()))


@pytest.mark.parametrize(
    "rest", [b"", framed(9)[:-1], framed(9)[:3], framed(9)[:8], bytes(5), bytes(4096)]
)
def test_what_an_interrupted_write_leaves_goes_with_the_file(tmp_path: Path, rest: bytes) -> None:
    (tmp_path / "jrn_1.journal").write_bytes(framed(1) + framed(2) + rest)
    store = MemoryStore()
    assert Ingester(store, JournalFiles(tmp_path)).ingest() == 2
    assert requests(store) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flip", [4, 12, -1])
def test_a_damaged_file_is_set_aside_and_holds_up_no_other(tmp_path: Path, flip: int) -> None:
    damaged = bytearray(framed(2))
    damaged[flip] ^= 0x10
    (tmp_path / "jrn_1.journal").write_bytes(framed(1) + bytes(damaged) + framed(3))
    (tmp_path / "jrn_2.journal").write_bytes(framed(4))
    store = MemoryStore()
    ingester = Ingester(store, JournalFiles(tmp_path))
    assert ingester.ingest() == 2
    assert ingester.ingest() == 0
    assert requests(store) == 2
    [kept] = tmp_path.iterdir()
    assert kept.name == "jrn_1.journal.damaged"
    assert kept.read_bytes().endswith(framed(3))


def test_a_file_of_many_chunks_comes_in_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard.billing.ingest.CHUNK", len(framed(1)) * 3 - 1)
    data = b"".join(framed(number) for number in range(100, 200))
    (tmp_path / "jrn_1.journal").write_bytes(data)
    store = MemoryStore()
    assert Ingester(store, JournalFiles(tmp_path)).ingest() == 100
    assert requests(store) == 100


def test_a_record_that_is_in_two_files_counts_once(tmp_path: Path) -> None:
    (tmp_path / "jrn_1.journal").write_bytes(framed(1))
    (tmp_path / "jrn_2.journal").write_bytes(framed(1) + framed(2))
    store = MemoryStore()
    Ingester(store, JournalFiles(tmp_path)).ingest()
    assert requests(store) == 2


def test_files_are_listed_oldest_first_and_half_made_ones_not_at_all(tmp_path: Path) -> None:
    for name in ("jrn_b.journal", "jrn_a.journal", ".jrn_c.new", "jrn_d.journal.damaged"):
        (tmp_path / name).write_bytes(b"x")
    assert JournalFiles(tmp_path).journals() == [("jrn_a", 1), ("jrn_b", 1)]


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "jrn_a.journal").write_bytes(b"0123456789")
    files = JournalFiles(tmp_path)
    assert files.read("jrn_a", 3, 4) == b"3456"
    assert files.read("jrn_a", 10, 4) == b""
