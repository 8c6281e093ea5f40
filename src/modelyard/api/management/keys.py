"""`/api/v1/keys`: make, list and revoke API keys."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Paging, Services
from modelyard.api.management.fields import Name
from modelyard.api.management.idempotency import SHOWN_ONCE
from modelyard.api.management.instants import utc
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.problems import refusals
from modelyard.core.access import MAX_SCOPE, Permission, covers
from modelyard.core.errors import Conflict
from modelyard.core.pages import Page
from modelyard.tenancy.key import MAX_BOUNDS, ApiKey
from modelyard.tenancy.service import MAX_KEY_NAME, MAX_OVERLAP


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to make."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_KEY_NAME,
            description="What people call it.",
            examples=["web shop"],
        ),
    ]
    scope: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_SCOPE,
            description=(
                "`infer`, `manage` or finer words such as `models:read`, with spaces between. It "
                "can hold no more than your own key's."
            ),
            examples=["infer"],
        ),
    ]
    expires_at: Annotated[
        datetime | None,
        Meta(description="When it stops working; null for never."),
    ] = None
    deployments: Annotated[
        list[str] | None,
        Meta(description=f"The deployments that it may call, at most {MAX_BOUNDS}; null for all."),
    ] = None
    networks: Annotated[
        list[str] | None,
        Meta(
            description=(
                f"Networks (CIDR) or addresses that it may be used from, at most {MAX_BOUNDS}; "
                "null for all."
            ),
            examples=[["10.1.0.0/16"]],
        ),
    ] = None


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a key is to be rotated."""

    overlap_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=int(MAX_OVERLAP.total_seconds()),
            description="How long the secret that it has had is good for, still.",
            examples=[86_400],
        ),
    ] = 0


class Key(msgspec.Struct, frozen=True):
    """A key as it is kept. `hint` is its first characters, to tell keys apart by eye."""

    id: str
    name: str
    scope: str
    hint: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    deployments: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    former_until: Annotated[
        datetime | None,
        Meta(description="Until when the secret before the last rotation is good."),
    ]
    last_used_at: Annotated[
        datetime | None,
        Meta(description="When it last called a model, a few seconds late."),
    ]


class MadeKey(Key, frozen=True, kw_only=True):
    """A key that was just made. `key` is the secret, which nobody can show again."""

    key: Annotated[str, Meta(description="The key itself. It is shown this once.")]


class _Made(msgspec.Struct):
    id: str


def shown_once(body: bytes) -> Conflict:
    """What a repeated request is told instead of the secret."""
    made = msgspec.json.decode(body, type=_Made)
    return Conflict(
        f"this request has made or rotated key {made.id} before; the key itself was shown once and "
        "is kept nowhere: if it was lost, rotate or revoke it with a new Idempotency-Key"
    )


@get("/", summary="List keys", responses=refusals(), sync_to_thread=True)
def list_keys(services: Services, caller: Caller, page: Paging) -> Page[Key]:
    """The tenant's keys, newest first, revoked ones included."""
    return services.tenancy.list_keys(caller.tenant_id, page).map(_shown)


@post(
    "/",
    summary="Make a key",
    responses=refusals(409, 413, 415, 422),
    operation_class=Idempotent,
    opt={SHOWN_ONCE: shown_once},
    sync_to_thread=True,
)
def create_key(services: Services, caller: Caller, data: JSONBody[NewKey]) -> MadeKey:
    """The answer holds the key itself, this once: only a hash of it is kept.

    A repeated request (same `Idempotency-Key`) is therefore answered 409 and names the key's id.
    The new key's scope can be no wider than that of the key that asks.
    """
    expires_at = None if data.expires_at is None else utc("expires_at", data.expires_at)
    key, secret = services.tenancy.create_bounded_key(
        caller,
        data.name,
        data.scope,
        expires_at,
        deployments=data.deployments,
        networks=data.networks,
    )
    return MadeKey(**msgspec.structs.asdict(_shown(key)), key=secret)


@post(
    "/{key_id:str}/revoke",
    status_code=200,
    summary="Revoke a key",
    responses=refusals(404, 409, 422),
    operation_class=Idempotent,
    sync_to_thread=True,
)
def revoke_key(services: Services, caller: Caller, key_id: Name) -> Key:
    """It stops working on every gateway within a second. Revoking again changes nothing.

    A key of a wider scope than your own cannot be revoked.
    """
    key = services.tenancy.key(caller.tenant_id, key_id)
    covers(caller, key.scope)
    return _shown(services.tenancy.revoke_key(caller.tenant_id, key_id))


@post(
    "/{key_id:str}/rotate",
    status_code=200,
    summary="Rotate a key",
    responses=refusals(404, 409, 413, 415, 422),
    operation_class=Idempotent,
    opt={SHOWN_ONCE: shown_once},
    sync_to_thread=True,
)
def rotate_key(
    services: Services, caller: Caller, key_id: Name, data: JSONBody[Rotation]
) -> MadeKey:
    """It gets a new secret, shown this once, and stays the same key: its id, scope, bounds, budget
    and usage go on. The old secret is good for `overlap_seconds` longer.
    """
    overlap = timedelta(seconds=data.overlap_seconds)
    key, secret = services.tenancy.rotate_key(caller, key_id, overlap)
    return MadeKey(**msgspec.structs.asdict(_shown(key)), key=secret)


def _shown(key: ApiKey) -> Key:
    return Key(
        id=key.id,
        name=key.name,
        scope=key.scope,
        hint=key.hint,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        deployments=key.deployments,
        networks=key.networks,
        former_until=key.former_until,
        last_used_at=key.last_used_at,
    )


keys: Final = Router(
    "/keys",
    route_handlers=[list_keys, create_key, revoke_key, rotate_key],
    tags=["keys"],
    opt=needs(Permission.KEYS_READ, Permission.KEYS_WRITE),
)
