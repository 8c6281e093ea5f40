"""The uploads of one tenant."""

from __future__ import annotations

from modelyard.adapters.memory.state import State
from modelyard.core.errors import NotFound
from modelyard.core.uploads import Upload


class MemoryUploads:
    """The uploads of one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def add(self, upload: Upload) -> None:
        self._state.uploads.setdefault((self._tenant_id, upload.digest), upload)

    def get(self, digest: str) -> Upload:
        try:
            return self._state.uploads[self._tenant_id, digest]
        except KeyError:
            raise NotFound(f"there is no upload '{digest[:80]}'") from None
