"""Taking in files: whole, checked, and never left lying about."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelyard.adapters.blobs import local_blobs
from modelyard.adapters.memory import MemoryStore
from modelyard.api.management import partials
from modelyard.api.management.receiving import Part, UploadReceiver
from modelyard.core.clock import ManualClock
from modelyard.core.errors import (
    Conflict,
    Interrupted,
    Invalid,
    NotFound,
    StorageFull,
    TooLarge,
    Unavailable,
)

pytestmark = pytest.mark.asyncio

MAX = 5 << 20


class Inbox:
    """A receiver with its folder, store and blobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "uploads"
        self.folder.mkdir()
        (folder / "blobs").mkdir()
        self.blobs = local_blobs(folder / "blobs")
        self.store = MemoryStore()
        self.receiver = UploadReceiver(self.store, self.blobs, ManualClock(), self.folder, MAX)

    def kept(self, digest: str) -> bool:
        try:
            with self.store.read() as tx:
                tx.uploads("tnt_1").get(digest)
        except NotFound:
            return False
        return True


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


async def _parts(content: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (2 << 20) + 17])
async def test_what_came_is_what_is_kept(inbox: Inbox, size: int) -> None:
    content = bytes(n % 251 for n in range(1000)) * (size // 1000 + 1)
    content = content[:size]
    received = await inbox.receiver.receive("tnt_1", _digest(content), Part(), _parts(content))
    assert received.upload is not None
    upload, created = received.upload, received.created
    assert (upload.size, created) == (size, True)
    assert inbox.blobs.get(upload.digest) == content
    assert list(inbox.folder.iterdir()) == []


async def test_a_wrong_digest_leaves_nothing(inbox: Inbox) -> None:
    with pytest.raises(Invalid, match="SHA-256"):
        await inbox.receiver.receive("tnt_1", _digest(b"a"), Part(), _parts(b"b"))
    assert not inbox.kept(_digest(b"a"))
    assert not inbox.blobs.exists(_digest(b"b"))
    assert list(inbox.folder.iterdir()) == []


async def test_the_announced_size_is_refused_before_a_byte_is_read(inbox: Inbox) -> None:
    read = False

    async def watched() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b""

    with pytest.raises(TooLarge):
        await inbox.receiver.receive("tnt_1", _digest(b""), Part(length=MAX + 1), watched())
    assert not read


async def test_an_unannounced_size_is_refused_at_the_bound(inbox: Inbox) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1 << 20
            yield b"x" * (1 << 20)

    with pytest.raises(TooLarge):
        await inbox.receiver.receive("tnt_1", _digest(b""), Part(), endless())
    assert given == MAX + (1 << 20)
    assert list(inbox.folder.iterdir()) == []


async def _broken(content: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    async for part in _parts(content, size):
        yield part
    raise Interrupted("the connection ended before the whole file came")


async def test_a_broken_upload_goes_on_where_it_broke(inbox: Inbox) -> None:
    content = bytes(n % 251 for n in range(1000)) * 2000
    digest = _digest(content)
    with pytest.raises(NotFound):
        inbox.receiver.state("tnt_1", digest)
    with pytest.raises(Interrupted):
        await inbox.receiver.receive("tnt_1", digest, Part(), _broken(content[:1_200_000]))
    assert inbox.receiver.state("tnt_1", digest).offset == 1_200_000
    assert not inbox.kept(digest)
    with pytest.raises(NotFound):
        inbox.receiver.state("tnt_2", digest)
    with pytest.raises(Conflict, match="1200000 bytes of the file are there, not 7"):
        await inbox.receiver.receive("tnt_1", digest, Part(7), _parts(content[7:]))
    middle = await inbox.receiver.receive(
        "tnt_1", digest, Part(1_200_000, last=False), _parts(content[1_200_000:1_500_000])
    )
    assert (middle.offset, middle.upload) == (1_500_000, None)
    # Another process takes over, as after a restart.
    again = UploadReceiver(inbox.store, inbox.blobs, ManualClock(), inbox.folder, MAX)
    end = await again.receive("tnt_1", digest, Part(1_500_000), _parts(content[1_500_000:]))
    assert end.created
    assert inbox.blobs.get(digest) == content
    assert again.state("tnt_1", digest) == replace(end, created=False)
    assert list(inbox.folder.iterdir()) == []


async def test_a_resumed_upload_is_checked_as_a_whole(inbox: Inbox) -> None:
    digest = _digest(b"abcd")
    with pytest.raises(Interrupted):
        await inbox.receiver.receive("tnt_1", digest, Part(), _broken(b"xx"))
    with pytest.raises(Invalid, match="SHA-256"):
        await inbox.receiver.receive("tnt_1", digest, Part(2), _parts(b"cd"))
    with pytest.raises(NotFound):
        inbox.receiver.state("tnt_1", digest)
    with pytest.raises(TooLarge):
        await inbox.receiver.receive("tnt_1", digest, Part(MAX, 1), _parts(b"x"))


async def test_one_connection_at_a_time_sends_a_file(inbox: Inbox) -> None:
    begun = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield b"x" * (1 << 20)
        begun.set()
        await asyncio.Event().wait()

    digest = _digest(b"x" * (1 << 21))
    upload = asyncio.create_task(inbox.receiver.receive("tnt_1", digest, Part(), stalling()))
    await begun.wait()
    with pytest.raises(Unavailable, match="another connection"):
        await inbox.receiver.receive("tnt_1", digest, Part(1 << 20), _parts(b"x" * (1 << 20)))
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    # What had come when the server stopped is there.
    assert inbox.receiver.state("tnt_1", digest).offset == 1 << 20
    rest = _parts(b"x" * (1 << 20))
    assert (await inbox.receiver.receive("tnt_1", digest, Part(1 << 20), rest)).created


async def test_a_start_drops_what_is_old_or_short(inbox: Inbox) -> None:
    old, fresh, short = _digest(b"old"), _digest(b"new"), _digest(b"short")
    for digest, size in ((old, 1 << 20), (fresh, 1 << 20), (short, 9)):
        with pytest.raises(Interrupted):
            await inbox.receiver.receive("tnt_1", digest, Part(), _broken(bytes(size)))
    day_ago = time.time() - partials.EXPIRY - 1
    os.utime(inbox.folder / f"tnt_1-{old}.part", (day_ago, day_ago))
    # While the server runs, the short one can be resumed like any other.
    assert inbox.receiver.state("tnt_1", short).offset == 9
    again = UploadReceiver(inbox.store, inbox.blobs, ManualClock(), inbox.folder, MAX)
    assert [path.name for path in inbox.folder.iterdir()] == [f"tnt_1-{fresh}.part"]
    again.drop("tnt_1", fresh)
    with pytest.raises(NotFound):
        again.drop("tnt_1", fresh)
    assert list(inbox.folder.iterdir()) == []


async def test_a_start_leaves_alone_what_another_process_is_writing(inbox: Inbox) -> None:
    begun = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield b"x"
        begun.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(inbox.receiver.receive("tnt_1", _digest(b""), Part(), stalling()))
    await begun.wait()
    UploadReceiver(inbox.store, inbox.blobs, ManualClock(), inbox.folder, MAX)
    assert len(list(inbox.folder.iterdir())) == 1
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload


async def test_a_tenant_begins_so_many_uploads_at_most(inbox: Inbox) -> None:
    digests = [_digest(b"%d" % number) for number in range(partials.MOST + 3)]
    for number, digest in enumerate(digests):
        with pytest.raises(Interrupted):
            await inbox.receiver.receive("tnt_1", digest, Part(), _broken(b"x"))
        when = time.time() - 1000 + number
        os.utime(inbox.folder / f"tnt_1-{digest}.part", (when, when))
    with pytest.raises(Interrupted):
        await inbox.receiver.receive("tnt_2", digests[0], Part(), _broken(b"x"))
    there = {path.name for path in inbox.folder.iterdir()}
    assert there == {f"tnt_1-{d}.part" for d in digests[3:]} | {f"tnt_2-{digests[0]}.part"}


async def test_a_tenants_beginnings_take_so_much_at_most(inbox: Inbox) -> None:
    for number in range(6):
        content = _broken(b"x" * (MAX - 1), 1 << 20)
        with pytest.raises(Interrupted):
            await inbox.receiver.receive("tnt_1", _digest(b"%d" % number), Part(), content)
        when = time.time() - 1000 + number
        os.utime(inbox.folder / f"tnt_1-{_digest(b'%d' % number)}.part", (when, when))
    assert sum(path.stat().st_size for path in inbox.folder.iterdir()) <= 5 * MAX


async def test_a_full_disk_is_told_as_such(inbox: Inbox) -> None:
    async def full() -> AsyncIterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageFull, match="no room"):
        await inbox.receiver.receive("tnt_1", _digest(b"x"), Part(), full())
    assert list(inbox.folder.iterdir()) == []
