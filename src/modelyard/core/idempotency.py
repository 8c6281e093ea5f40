"""Idempotency keys: a POST that is sent twice happens once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from modelyard.core.errors import Conflict, Mismatch

KEEP: Final = timedelta(hours=48)
ABANDONED: Final = timedelta(minutes=5)
"""A claim without an answer for so long belongs to a process that died; it may be taken over."""


class StoredAnswer(msgspec.Struct, frozen=True):
    """What the first request was answered."""

    status: int
    content_type: str
    body: bytes


class Claim(msgspec.Struct, frozen=True):
    """An idempotency key in use. `answer` is None while its first request is running."""

    fingerprint: str
    claimed_at: datetime
    answer: StoredAnswer | None = None

    def asked_again(self, fingerprint: str, now: datetime) -> StoredAnswer | None:
        """What the key's second request gets; None when it may take the claim over.

        Raises:
            Mismatch: it is another request.
            Conflict: the first request is still running.
        """
        if fingerprint != self.fingerprint:
            raise Mismatch("this Idempotency-Key was used before with another request")
        if self.answer is None and now < self.claimed_at + ABANDONED:
            raise Conflict("the first request with this Idempotency-Key is still running")
        return self.answer


class IdempotencyRepository(Protocol):
    """The idempotency keys of one tenant."""

    def claim(self, key: str, fingerprint: str, now: datetime) -> StoredAnswer | None:
        """None: the key is new and now ours. An answer: the same request was answered before.

        Raises:
            Mismatch: the key was used with another request.
            Conflict: the first request is still running.
        """
        ...

    def settle(self, key: str, answer: StoredAnswer) -> None:
        """Keep the answer for those who ask again."""
        ...

    def drop(self, key: str) -> None:
        """Forget the claim: the request failed in a way that is worth trying again."""
        ...

    def expire(self, now: datetime) -> int:
        """Forget what is older than `KEEP`; return how many."""
        ...
