"""Taking in a file of any size: to disk as it comes, checked, then kept as a blob.

What has come stays when the connection breaks or the server dies, and the rest can be sent later.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from modelyard.api.management.partials import Partial, PartialUploads
from modelyard.api.management.ports import ManagementTransaction
from modelyard.core.clock import Clock
from modelyard.core.errors import Conflict, Interrupted, Invalid, NotFound, StorageFull, TooLarge
from modelyard.core.ports import Blobs, Store
from modelyard.core.uploads import Upload, check_digest

BLOCK: Final = 1 << 20
"""Bytes that are gathered before a thread writes them."""
ROOM: Final = 4
"""How many files of the largest size one tenant may have begun."""


class Part(msgspec.Struct, frozen=True):
    """What a request brings. `length` is its size as it says, if it does; `last` ends the file."""

    offset: int = 0
    length: int | None = None
    last: bool = True


class Received(msgspec.Struct, frozen=True):
    """What is there: `offset` bytes, and the upload once it is whole.

    `created`: the tenant did not have it before.
    """

    offset: int
    upload: Upload | None = None
    created: bool = False


class UploadReceiver:
    """Receives files into `folder`, which must be on the disk and private to the server."""

    def __init__(
        self,
        store: Store[ManagementTransaction],
        blobs: Blobs,
        clock: Clock,
        folder: Path,
        max_bytes: int,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._max_bytes = max_bytes
        self._partials = PartialUploads(folder, ROOM * max_bytes)
        self._partials.begin()

    def state(self, tenant_id: str, digest: str) -> Received:
        """What is there of a file.

        Raises:
            NotFound: nothing.
        """
        check_digest(digest)
        with self._store.read() as tx:
            try:
                upload = tx.uploads(tenant_id).get(digest)
            except NotFound:
                offset = self._partials.offset(tenant_id, digest)
                if offset is None:
                    raise
                return Received(offset)
        return Received(upload.size, upload)

    def drop(self, tenant_id: str, digest: str) -> None:
        """Forget the beginning of a file. Raises NotFound when there is none."""
        check_digest(digest)
        if not self._partials.drop(tenant_id, digest):
            raise NotFound(f"no upload '{digest[:80]}' has begun")

    async def receive(
        self, tenant_id: str, digest: str, part: Part, content: AsyncIterator[bytes]
    ) -> Received:
        """Add to the file behind `part.offset`, and keep it when that was the last of it.

        Raises:
            Invalid: the digest is not one, or not the file's: what came is dropped.
            Conflict: another number of bytes is there than `part.offset`.
            TooLarge: over the bound; nothing is read when the request says so itself.
            Interrupted: the content ended early; what came is there.
            Unavailable: another connection is sending the same file.
            StorageFull: no room is left on the server; what came is dropped.
        """
        check_digest(digest)
        if part.offset + (part.length or 0) > self._max_bytes:
            raise self._too_large()
        with ExitStack() as held:
            partial = await asyncio.to_thread(
                held.enter_context, self._partials.writing(tenant_id, digest)
            )
            try:
                return await self._receive(partial, tenant_id, digest, part, content)
            except Interrupted:
                raise
            except (Invalid, TooLarge):
                partial.drop()
                raise
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                partial.drop()
                raise StorageFull("the server has no room for this file") from None

    async def _receive(
        self,
        partial: Partial,
        tenant_id: str,
        digest: str,
        part: Part,
        content: AsyncIterator[bytes],
    ) -> Received:
        if part.offset and partial.offset != part.offset:
            raise Conflict(
                f"{partial.offset} bytes of the file are there, not {part.offset}: "
                "go on behind them"
            )
        size, told = await self._write(partial, part.offset, content)
        if not part.last:
            return Received(size)
        if told != digest:
            raise Invalid(f"the {size} bytes that came have SHA-256 {told}, not the one named")
        received = await asyncio.to_thread(self._keep, tenant_id, digest, size, partial.path)
        partial.drop()
        return received

    async def _write(
        self, partial: Partial, offset: int, content: AsyncIterator[bytes]
    ) -> tuple[int, str]:
        """Write and hash in blocks on a thread. Returns the size and the digest."""
        hasher = await asyncio.to_thread(partial.begin, offset)
        block, size = bytearray(), offset

        def flush() -> None:
            hasher.update(block)
            partial.file.write(block)
            partial.file.flush()
            block.clear()

        try:
            async for piece in content:
                size += len(piece)
                if size > self._max_bytes:
                    raise self._too_large()
                block += piece
                if len(block) >= BLOCK:
                    await _to_the_end(flush)
        except Interrupted:
            await _to_the_end(flush)
            raise
        await _to_the_end(flush)
        return size, hasher.hexdigest()

    def _keep(self, tenant_id: str, digest: str, size: int, path: Path) -> Received:
        # The bytes first: a row must never speak of a blob that a crash kept from being written.
        self._blobs.put(path)
        with self._store.begin() as tx:
            uploads = tx.uploads(tenant_id)
            try:
                return Received(size, uploads.get(digest))
            except NotFound:
                upload = Upload(digest, size, self._clock.now())
                uploads.add(upload)
                return Received(size, upload, created=True)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the file is over {self._max_bytes} bytes (MODELYARD_MAX_UPLOAD_BYTES)")


async def _to_the_end(work: Callable[[], None]) -> None:
    """Do it on a thread. A cancelled caller waits as well: the thread uses the caller's file."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
