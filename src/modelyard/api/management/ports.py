"""What this edge itself needs from the store; the rest it asks of the rooms' services."""

from __future__ import annotations

from typing import Protocol

from modelyard.core.idempotency import IdempotencyRepository
from modelyard.core.uploads import UploadRepository


class ManagementTransaction(Protocol):
    """A transaction over idempotency keys and uploads."""

    def idempotency(self, tenant_id: str) -> IdempotencyRepository: ...

    def uploads(self, tenant_id: str) -> UploadRepository: ...
