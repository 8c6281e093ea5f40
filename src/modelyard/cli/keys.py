"""`modelyard keys`."""

from __future__ import annotations

from datetime import UTC, datetime

from modelyard.cli.display import Json, listing, print_json, terminal
from modelyard_client import Client
from modelyard_client.keys import Key


def create(
    *,
    scope: str = "infer",
    name: str | None = None,
    expires: datetime | None = None,
    json: Json = False,
) -> None:
    """Make a key. It is shown this once: only its hash is kept.

    Args:
        scope: How far it reaches: 'infer' calls models, 'manage' also does all else in the tenant,
            'admin' operates the server; or finer words, such as "infer models:read".
        name: What to call it in lists; its scope if not given.
        expires: When it goes out of force, such as 2027-01-31; UTC unless it says otherwise.
    """
    with Client() as client:
        made = client.keys.create(name or scope, scope, None if expires is None else zoned(expires))
    if json:
        print_json(made)
        return
    terminal().print(made.key)
    terminal(error=True).print(f"key {made.id} of scope {made.scope}; it is not shown again")


def list_all(*, json: Json = False) -> None:
    """List the keys, the revoked ones too."""
    with Client() as client:
        keys = client.keys.list()
    if json:
        print_json(keys)
        return
    rows = [(k.id, k.name, k.scope, f"{k.hint}…", _state(k), k.created_at) for k in keys]
    listing(("KEY", "NAME", "SCOPE", "BEGINS", "STATE", "CREATED"), rows, "no keys")


def revoke(key: str, /, *, json: Json = False) -> None:
    """Put a key out of force on every gateway.

    Args:
        key: Its id, as 'modelyard keys list' shows it.
    """
    with Client() as client:
        revoked = client.keys.revoke(key)
    if json:
        print_json(revoked)
    else:
        terminal().print(f"key {revoked.id} ({revoked.name}) is revoked")


def zoned(moment: datetime) -> datetime:
    """The moment with a zone: UTC where none was given."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        return "expired"
    return "in force"
