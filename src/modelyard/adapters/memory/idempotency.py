"""The idempotency keys of one tenant."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from modelyard.adapters.memory.state import State
from modelyard.core.idempotency import KEEP, Claim, StoredAnswer


class MemoryIdempotency:
    """The idempotency keys of one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._claims = state.claims
        self._tenant_id = tenant_id

    def claim(self, key: str, fingerprint: str, now: datetime) -> StoredAnswer | None:
        own = (self._tenant_id, key)
        claim = self._claims.get(own)
        if claim is None:
            self._claims[own] = Claim(fingerprint, now)
            return None
        answer = claim.asked_again(fingerprint, now)
        if answer is None:
            self._claims[own] = replace(claim, claimed_at=now)
        return answer

    def settle(self, key: str, answer: StoredAnswer) -> None:
        own = (self._tenant_id, key)
        if own in self._claims:
            self._claims[own] = replace(self._claims[own], answer=answer)

    def drop(self, key: str) -> None:
        own = (self._tenant_id, key)
        if own in self._claims and self._claims[own].answer is None:
            del self._claims[own]

    def expire(self, now: datetime) -> int:
        old = [
            (tenant_id, key)
            for (tenant_id, key), claim in self._claims.items()
            if tenant_id == self._tenant_id and claim.claimed_at < now - KEEP
        ]
        for own in old:
            del self._claims[own]
        return len(old)
