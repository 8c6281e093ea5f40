"""The idempotency keys of one tenant."""

from __future__ import annotations

from datetime import datetime

from modelyard.adapters.store.tables import idempotency_keys
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.core.errors import Conflict
from modelyard.core.idempotency import KEEP, Claim, StoredAnswer


class SqlIdempotency(TenantRows):
    """The idempotency keys of one tenant."""

    def claim(self, key: str, fingerprint: str, now: datetime) -> StoredAnswer | None:
        if self._added(idempotency_keys, key=key, fingerprint=fingerprint, claimed_at=now):
            return None
        answer = self._claimed(key).asked_again(fingerprint, now)
        if answer is None:
            self._connection.execute(
                self._update(idempotency_keys)
                .where(idempotency_keys.c.key == key)
                .values(claimed_at=now)
            )
        return answer

    def settle(self, key: str, answer: StoredAnswer) -> None:
        self._connection.execute(
            self._update(idempotency_keys)
            .where(idempotency_keys.c.key == key)
            .values(status=answer.status, content_type=answer.content_type, body=answer.body)
        )

    def drop(self, key: str) -> None:
        self._connection.execute(
            self._delete(idempotency_keys).where(
                idempotency_keys.c.key == key, idempotency_keys.c.status.is_(None)
            )
        )

    def expire(self, now: datetime) -> int:
        return self._connection.execute(
            self._delete(idempotency_keys).where(idempotency_keys.c.claimed_at < now - KEEP)
        ).rowcount

    def _claimed(self, key: str) -> Claim:
        row = self._connection.execute(
            self._select_to_change(idempotency_keys).where(idempotency_keys.c.key == key)
        ).one_or_none()
        if row is None:
            raise Conflict("the first request with this Idempotency-Key has just ended; ask again")
        answer = None
        if row.status is not None:
            answer = StoredAnswer(row.status, row.content_type, row.body)
        return Claim(row.fingerprint, row.claimed_at, answer)
