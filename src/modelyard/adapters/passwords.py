"""Passwords as argon2id hashes, with RFC 9106's second recommended parameters (section 4): three
passes over 64 MiB in four lanes.
"""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY


class Argon2Hasher:
    """The hashes. Safe to share between threads; each call takes 64 MiB while it lasts."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def verify(self, encoded: str | None, password: str) -> bool:
        if encoded is None:
            # To hash takes as long as to verify.
            self._hasher.hash(password)
            return False
        try:
            return self._hasher.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False
