"""API keys."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route

SETTLE_SECONDS: Final = 1.0
"""What changes on the server has reached all its gateways after this time."""


class Key(msgspec.Struct, frozen=True):
    """A key as it is kept. `hint` is its first characters, to tell keys apart by eye."""

    id: str
    name: str
    scope: str
    created_at: datetime
    hint: str = ""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    deployments: list[str] | None = None
    networks: list[str] | None = None
    former_until: datetime | None = None
    last_used_at: datetime | None = None


class NewKey(msgspec.Struct, frozen=True):
    """A key that was just made. `key` is the secret: it is never shown again."""

    id: str
    key: str
    name: str
    scope: str
    created_at: datetime | None = None
    expires_at: datetime | None = None
    former_until: datetime | None = None


class Keys:
    """`/api/v1/keys`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        name: str,
        scope: str = "infer",
        expires_at: datetime | None = None,
        *,
        deployments: Sequence[str] | None = None,
        networks: Sequence[str] | None = None,
        settle: float = SETTLE_SECONDS,
    ) -> NewKey:
        """Make a key of scope `infer`, `manage`, `admin`, or of finer words such as `models:read`
        with spaces between; no wider than the caller's own. It may be bound to some deployments
        and to networks (CIDR).

        Returns after `settle` seconds more, so that every gateway knows the key when you use it.
        """
        body: dict[str, Any] = {"name": name, "scope": scope}
        if expires_at is not None:
            body["expires_at"] = expires_at.isoformat()
        if deployments is not None:
            body["deployments"] = deployments
        if networks is not None:
            body["networks"] = networks
        made = self._transport.request("POST", route("keys"), NewKey, body=body)
        time.sleep(settle)
        return made

    def rotate(
        self, key_id: str, overlap: timedelta = timedelta(), *, settle: float = SETTLE_SECONDS
    ) -> NewKey:
        """Give the key a new secret; the one that it has had is good for `overlap` longer."""
        body = {"overlap_seconds": round(overlap.total_seconds())}
        made = self._transport.request("POST", route("keys", key_id, "rotate"), NewKey, body=body)
        time.sleep(settle)
        return made

    def revoke(self, key_id: str) -> Key:
        """Put it out of force; every gateway refuses it within a second."""
        return self._transport.request("POST", route("keys", key_id, "revoke"), Key)

    def list(self, limit: int = 1000) -> Sequence[Key]:
        """All keys, the revoked ones too."""
        return collect(self._transport, route("keys"), Page[Key], limit)
