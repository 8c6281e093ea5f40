"""API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route


class Key(msgspec.Struct, frozen=True):
    """A key as it is kept. `hint` is its first characters, to tell keys apart by eye."""

    id: str
    name: str
    scope: str
    created_at: datetime
    hint: str = ""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class NewKey(msgspec.Struct, frozen=True):
    """A key that was just made. `key` is the secret: it is never shown again."""

    id: str
    key: str
    name: str
    scope: str
    created_at: datetime | None = None
    expires_at: datetime | None = None


class Keys:
    """`/api/v1/keys`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, scope: str = "infer", expires_at: datetime | None = None) -> NewKey:
        """Make a key of scope `infer`, `manage` or `admin`, no wider than the caller's own."""
        body = {"name": name, "scope": scope}
        if expires_at is not None:
            body["expires_at"] = expires_at.isoformat()
        return self._transport.request("POST", route("keys"), NewKey, body=body)

    def revoke(self, key_id: str) -> Key:
        """Put it out of force on every gateway."""
        return self._transport.request("POST", route("keys", key_id, "revoke"), Key)

    def list(self, limit: int = 1000) -> Sequence[Key]:
        """All keys, the revoked ones too."""
        return collect(self._transport, route("keys"), Page[Key], limit)
