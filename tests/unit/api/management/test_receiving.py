"""Taking in files: whole, checked, and never left lying about."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelyard.adapters.blobs import local_blobs
from modelyard.adapters.memory import MemoryStore
from modelyard.api.management.receiving import UploadReceiver
from modelyard.core.clock import ManualClock
from modelyard.core.errors import Invalid, NotFound, TooLarge, Unavailable

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
    upload, created = await inbox.receiver.receive("tnt_1", _digest(content), None, _parts(content))
    assert (upload.size, created) == (size, True)
    assert inbox.blobs.get(upload.digest) == content
    assert list(inbox.folder.iterdir()) == []


async def test_a_wrong_digest_leaves_nothing(inbox: Inbox) -> None:
    with pytest.raises(Invalid, match="SHA-256"):
        await inbox.receiver.receive("tnt_1", _digest(b"a"), None, _parts(b"b"))
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
        await inbox.receiver.receive("tnt_1", _digest(b""), MAX + 1, watched())
    assert not read


async def test_an_unannounced_size_is_refused_at_the_bound(inbox: Inbox) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1 << 20
            yield b"x" * (1 << 20)

    with pytest.raises(TooLarge):
        await inbox.receiver.receive("tnt_1", _digest(b""), None, endless())
    assert given == MAX + (1 << 20)
    assert list(inbox.folder.iterdir()) == []


async def test_a_cancelled_upload_leaves_nothing(inbox: Inbox) -> None:
    begun = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield b"x" * (1 << 20)
        begun.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(inbox.receiver.receive("tnt_1", _digest(b""), None, stalling()))
    await begun.wait()
    assert len(list(inbox.folder.iterdir())) == 1
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert list(inbox.folder.iterdir()) == []


async def test_a_full_disk_is_told_as_such(inbox: Inbox) -> None:
    async def full() -> AsyncIterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Unavailable, match="no room"):
        await inbox.receiver.receive("tnt_1", _digest(b"x"), None, full())
    assert list(inbox.folder.iterdir()) == []
