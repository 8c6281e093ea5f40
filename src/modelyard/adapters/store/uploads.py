"""The uploads of one tenant."""

from __future__ import annotations

from typing import Final

from modelyard.adapters.store.tables import uploads
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.core.errors import NotFound
from modelyard.core.uploads import Upload

_UPLOAD: Final = tuple(uploads.c[name] for name in Upload.__struct_fields__)


class SqlUploads(TenantRows):
    """The uploads of one tenant."""

    def add(self, upload: Upload) -> None:
        self._added(uploads, digest=upload.digest, size=upload.size, created_at=upload.created_at)

    def get(self, digest: str) -> Upload:
        statement = self._select(uploads, *_UPLOAD).where(uploads.c.digest == digest)
        row = self._connection.execute(statement).one_or_none()
        if row is None:
            raise NotFound(f"there is no upload '{digest[:80]}'")
        return Upload(*row)
