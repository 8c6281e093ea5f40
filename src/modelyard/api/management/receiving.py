"""Taking in a file of any size: to disk as it comes, checked, then kept as a blob."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final

from modelyard.api.management.ports import ManagementTransaction
from modelyard.core.clock import Clock
from modelyard.core.errors import Invalid, NotFound, TooLarge, Unavailable
from modelyard.core.ports import Blobs, Store
from modelyard.core.uploads import Upload, check_digest

BLOCK: Final = 1 << 20
"""Bytes that are gathered before a thread writes them."""


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
        self._folder = folder
        self._max_bytes = max_bytes

    async def receive(
        self, tenant_id: str, digest: str, announced: int | None, parts: AsyncIterator[bytes]
    ) -> tuple[Upload, bool]:
        """Keep the file; True when the tenant did not have it before.

        `announced` is its size as the request says, if it does.

        Raises:
            Invalid: the digest is not one, or not the file's.
            TooLarge: over the bound; nothing is read when the request says so itself.
            Unavailable: no room is left on the server.
        """
        check_digest(digest)
        if announced is not None and announced > self._max_bytes:
            raise self._too_large()
        file = await asyncio.to_thread(self._open)
        try:
            size = await self._write(file, digest, parts)
            return await asyncio.to_thread(self._keep, tenant_id, digest, size, Path(file.name))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise Unavailable("the server has no room for this file", retry_after=60) from None
        finally:
            await asyncio.to_thread(_discard, file)

    async def _write(self, file: IO[bytes], digest: str, parts: AsyncIterator[bytes]) -> int:
        """Write and hash in blocks on a thread. Returns the size."""
        hasher = hashlib.sha256()
        block, size = bytearray(), 0

        def flush() -> None:
            hasher.update(block)
            file.write(block)
            block.clear()

        async for part in parts:
            size += len(part)
            if size > self._max_bytes:
                raise self._too_large()
            block += part
            if len(block) >= BLOCK:
                await asyncio.to_thread(flush)
        await asyncio.to_thread(flush)
        await asyncio.to_thread(file.flush)
        if hasher.hexdigest() != digest:
            raise Invalid(
                f"the {size} bytes that came have SHA-256 {hasher.hexdigest()}, not the one named"
            )
        return size

    def _keep(self, tenant_id: str, digest: str, size: int, path: Path) -> tuple[Upload, bool]:
        # The bytes first: a row must never speak of a blob that a crash kept from being written.
        self._blobs.put(path)
        with self._store.begin() as tx:
            uploads = tx.uploads(tenant_id)
            try:
                return uploads.get(digest), False
            except NotFound:
                upload = Upload(digest, size, self._clock.now())
                uploads.add(upload)
                return upload, True

    def _open(self) -> IO[bytes]:
        return tempfile.NamedTemporaryFile(dir=self._folder, prefix="upload-", delete=False)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the file is over {self._max_bytes} bytes (MODELYARD_MAX_UPLOAD_BYTES)")


def _discard(file: IO[bytes]) -> None:
    file.close()
    Path(file.name).unlink(missing_ok=True)
