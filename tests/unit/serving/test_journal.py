"""The journal's writer: one write a tick, acknowledged after it, and nothing lost by a fault."""

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from modelyard.adapters.journal import JournalFiles
from modelyard.core.errors import ModelyardError, Unavailable
from modelyard.core.events import PredictionMade
from modelyard.core.journal import frame, unframe
from modelyard.serving.journal import JournalWriter


def event(number: int) -> PredictionMade:
    return PredictionMade(f"req_{number:08}", number, "t", "k", "d", "m", 1, 200, 1, 1, 1, 1)


def contents(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(folder.glob("*.journal"))]


def stored(folder: Path) -> list[str]:
    return [made.request_id for data in contents(folder) for _, made in unframe(data)]


def recorded(writer: JournalWriter, made: PredictionMade) -> asyncio.Future[None]:
    """Done once the event may be acknowledged; fails when it cannot be recorded."""
    told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(error: ModelyardError | None) -> None:
        if told.done():
            return
        if error is None:
            told.set_result(None)
        else:
            told.set_exception(error)

    writer.append(made, tell)
    return told


class Counted:
    """Counts the real calls that go to the kernel."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.story: list[str] = []
        for name in ("write", "fdatasync"):
            patch.setattr(os, name, self._counting(name, getattr(os, name)))

    def _counting(self, name: str, real: object) -> object:
        def call(*arguments: object) -> object:
            self.story.append(name)
            return real(*arguments)  # type: ignore[operator]

        return call


@pytest.mark.asyncio
async def test_all_that_finish_in_one_tick_share_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path, 60_000)
    kernel = Counted(monkeypatch)
    for group in range(3):
        waits = [recorded(writer, event(group * 100 + number)) for number in range(100)]
        await asyncio.gather(*waits)
    assert kernel.story == ["write"] * 3
    monkeypatch.undo()
    assert stored(tmp_path) == [event(number).request_id for number in range(300)]
    await writer.close()


@pytest.mark.asyncio
async def test_nothing_is_acknowledged_before_it_is_written(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, 60_000)
    for number in range(50):
        written = asyncio.ensure_future(recorded(writer, event(number)))
        assert not written.done()
        await written
        assert stored(tmp_path)[-1] == event(number).request_id
    await writer.close()


@pytest.mark.asyncio
async def test_always_syncs_after_the_write_and_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path, None)
    kernel = Counted(monkeypatch)

    async def one(number: int) -> None:
        await recorded(writer, event(number))
        kernel.story.append(f"answer {number}")

    await one(0)
    assert kernel.story == ["write", "fdatasync", "answer 0"]
    kernel.story.clear()
    tasks = [asyncio.create_task(one(number)) for number in range(1, 200)]
    for number in range(200, 400):
        tasks.append(asyncio.create_task(one(number)))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    for number in range(1, 400):
        before = kernel.story[: kernel.story.index(f"answer {number}")]
        assert "fdatasync" in before[before.index("write") :]
    # Groups that were written while one sync ran have shared the next.
    assert kernel.story.count("fdatasync") < kernel.story.count("write")
    monkeypatch.undo()
    await writer.close()


@pytest.mark.asyncio
async def test_the_timer_syncs_what_is_new_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Counted(monkeypatch)
    writer = JournalWriter(tmp_path, 5)
    await asyncio.sleep(0.05)
    assert kernel.story == []
    await recorded(writer, event(1))
    await asyncio.sleep(0.1)
    assert kernel.story == ["write", "fdatasync"]
    await writer.close()


@pytest.mark.asyncio
async def test_whoever_is_cancelled_takes_no_neighbour_along(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, 60_000)

    async def wait(number: int) -> int:
        await recorded(writer, event(number))
        return number

    tasks = [asyncio.create_task(wait(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in done] == [int, int, asyncio.CancelledError, int, int]
    assert len(stored(tmp_path)) == 5
    await writer.close()


SMALL: Final = len(frame(event(0))) * 10 + 5


@contextmanager
def small_files() -> Iterator[None]:
    """No file of this process grows beyond `SMALL` bytes: a disk that is full.

    Not a fixture: pytest writes to its own output before a fixture ends.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.asyncio
@pytest.mark.parametrize("sync_ms", [60_000, None])
async def test_a_full_disk_fails_its_group_alone_and_leaves_no_half_record(
    tmp_path: Path, sync_ms: int | None
) -> None:
    writer = JournalWriter(tmp_path, sync_ms)
    with small_files():
        await asyncio.gather(*(recorded(writer, event(number)) for number in range(8)))
        failed = [
            asyncio.ensure_future(recorded(writer, event(100 + number))) for number in range(4)
        ]
        results = await asyncio.gather(*failed, return_exceptions=True)
        await recorded(writer, event(8))
        await asyncio.gather(*(recorded(writer, event(number)) for number in range(9, 12)))
    for result in results:
        assert isinstance(result, Unavailable)
        assert result.retry_after == 5
    assert stored(tmp_path) == [event(number).request_id for number in range(12)]
    for data in contents(tmp_path):
        assert sum(len(frame(made)) for _, made in unframe(data)) == len(data)
    await writer.close()


@pytest.mark.asyncio
async def test_a_sync_that_failed_is_not_believed_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path, None)
    await recorded(writer, event(0))
    real, failing = os.fdatasync, [True]

    def fails_once(file: int) -> None:
        if failing.pop() if failing else False:
            raise OSError(5, "Input/output error")
        real(file)

    monkeypatch.setattr(os, "fdatasync", fails_once)
    with pytest.raises(Unavailable, match="Input/output error"):
        await recorded(writer, event(1))
    await recorded(writer, event(2))
    # The file in doubt takes no more: what is acknowledged now is in a new one.
    assert len(contents(tmp_path)) == 2
    assert event(2).request_id in stored(tmp_path)
    await writer.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("sync_ms", [1, None])
async def test_files_rotate_without_losing_or_repeating(
    tmp_path: Path, sync_ms: int | None
) -> None:
    writer = JournalWriter(tmp_path, sync_ms, rotate=1000)
    for start in range(0, 400, 4):
        await asyncio.gather(*(recorded(writer, event(start + number)) for number in range(4)))
    await writer.close()
    assert stored(tmp_path) == [event(number).request_id for number in range(400)]
    sizes = [len(data) for data in contents(tmp_path)]
    assert len(sizes) > 10
    assert max(sizes) < 1000 + 4 * len(frame(event(0)))


@pytest.mark.asyncio
async def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    writer = JournalWriter(tmp_path, 5, rotate=200)
    for number in range(50):
        await recorded(writer, event(number))
    await writer.close()
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


@pytest.mark.asyncio
async def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, 5)
    pending = asyncio.ensure_future(recorded(writer, event(1)))
    await writer.close()
    await pending
    with pytest.raises(Unavailable):
        await recorded(writer, event(2))
    assert stored(tmp_path) == [event(1).request_id]


@pytest.mark.asyncio
async def test_the_reader_leaves_a_file_whose_writer_lives(tmp_path: Path) -> None:
    writer, files = JournalWriter(tmp_path, 5), JournalFiles(tmp_path)
    [(journal_id, size)] = files.journals()
    assert size == 0
    assert not files.retire(journal_id, 0)
    await recorded(writer, event(1))
    assert not files.retire(journal_id, len(frame(event(1))))
    await writer.close()
    assert not files.retire(journal_id, 0)
    assert files.retire(journal_id, len(frame(event(1))))
    assert os.listdir(tmp_path) == []  # noqa: PTH208
