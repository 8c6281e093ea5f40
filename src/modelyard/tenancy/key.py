"""API keys: 256 random bits with a checksum, and only a keyed hash on disk.

key := "my_" | 43 characters of base64url (32 random bytes) | 6 characters of base64url
       (the first 4 bytes of the random bytes' SHA-256)

The prefix and the checksum are for those who look for leaked keys: they can tell one from chance
without asking this server.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import datetime
from typing import Final

import msgspec

from modelyard.core.access import Grant

PREFIX: Final = "my_"
MIN_OPERATOR_KEY: Final = 32
MAX_KEY: Final = 512
"""Characters of a key that is presented; longer ones are not even looked up."""


MAX_BOUNDS: Final = 100
"""Deployments, and networks, that one key may be bound to."""


class ApiKey(msgspec.Struct, frozen=True):
    """What is kept of a key. `hint` is its first characters, to tell keys apart by eye.

    `deployments` and `networks` are what it is bound to, if it is. `former_hash` is that of its
    secret before the last rotation, which is good until `former_until`. `last_used_at` is when it
    last called a model, as far as the ledger has it. With a `user_id` it is a person's login.
    """

    id: str
    tenant_id: str
    name: str
    scope: str
    hash: bytes
    hint: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    deployments: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    former_hash: bytes | None = None
    former_until: datetime | None = None
    last_used_at: datetime | None = None
    user_id: str | None = None

    @property
    def grant(self) -> Grant:
        """What the key stands for when it is presented."""
        deployments = None if self.deployments is None else frozenset(self.deployments)
        return Grant(
            self.id,
            self.tenant_id,
            self.scope,
            deployments,
            self.networks or (),
            self.user_id or "",
        )


def new_secret() -> str:
    """A new key, as its holder will present it."""
    raw = secrets.token_bytes(32)
    return PREFIX + _base64(raw) + _base64(hashlib.sha256(raw).digest()[:4])


def hash_secret(secret: bytes, pepper: bytes) -> bytes:
    """The keyed hash (BLAKE2b, 32 bytes) that is stored and looked up."""
    return hashlib.blake2b(secret, key=pepper, digest_size=32).digest()


def hint_of(secret: str) -> str:
    """The first characters of a key: enough to recognise it, far too few to use it."""
    return secret[: len(PREFIX) + 6]


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
