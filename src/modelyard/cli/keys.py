"""`modelyard keys`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from modelyard.cli.display import Json, Many, listing, print_json, terminal, text
from modelyard.cli.failure import CommandFailed
from modelyard_client import Client
from modelyard_client.keys import Key

_ID: Final = "key_"
_IN_FORCE: Final = "in force"


def create(
    *,
    scope: str = "infer",
    name: str | None = None,
    expires: datetime | None = None,
    deployment: Many = None,
    network: Many = None,
    json: Json = False,
) -> None:
    """Make a key. It is shown this once: only its hash is kept.

    Args:
        scope: How far it reaches: 'infer' calls models, 'manage' also does all else in the tenant,
            'admin' operates the server; or finer words, such as "infer models:read".
        name: What to call it in lists; its scope if not given.
        expires: When it goes out of force, such as 2027-01-31; UTC unless it says otherwise.
        deployment: The only deployment that it may call; once for each.
        network: A network such as 10.1.0.0/16, or an address, that it may be used from; once for
            each.
    """
    with Client() as client:
        made = client.keys.create(
            name or scope,
            scope,
            None if expires is None else zoned(expires),
            deployments=deployment,
            networks=network,
        )
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
    rows = [
        (k.id, k.name, k.scope, f"{k.hint}…", _state(k), k.created_at, k.last_used_at) for k in keys
    ]
    headings = ("KEY", "NAME", "SCOPE", "BEGINS", "STATE", "CREATED", "LAST USED")
    listing(headings, rows, "no keys")


def rotate(key: str, /, *, overlap: str = "0s", json: Json = False) -> None:
    """Give a key a new secret. It is shown this once; the key's id, budget and usage stay.

    Args:
        key: Its id or its name, as 'modelyard keys list' shows them.
        overlap: How long the old secret is good for, still, such as 30m, 24h or 7d.
    """
    lasts = _span(overlap)
    with Client() as client:
        made = client.keys.rotate(meant_key(client, key), lasts)
    if json:
        print_json(made)
        return
    terminal().print(made.key)
    until = "at once" if made.former_until is None else f"at {text(made.former_until)}"
    terminal(error=True).print(
        f"key {made.id} has a new secret; it is not shown again; the old one ends {until}"
    )


def revoke(key: str, /, *, json: Json = False) -> None:
    """Put a key out of force on every gateway.

    Args:
        key: Its id or its name, as 'modelyard keys list' shows them.
    """
    with Client() as client:
        revoked = client.keys.revoke(meant_key(client, key))
    if json:
        print_json(revoked)
    else:
        terminal().print(f"key {revoked.id} ({revoked.name}) is revoked")


def meant_key(client: Client, given: str) -> str:
    """The id of the key in force that is called so; an id is taken as it is.

    Raises:
        CommandFailed: no such key, or several.
    """
    if given.startswith(_ID):
        return given
    found = [k.id for k in client.keys.list() if k.name == given and _state(k) == _IN_FORCE]
    if not found:
        raise CommandFailed(f"there is no key '{given}' in force", hint="see 'modelyard keys list'")
    if len(found) > 1:
        raise CommandFailed(f"{len(found)} keys are called '{given}': say {' or '.join(found)}")
    return found[0]


def zoned(moment: datetime) -> datetime:
    """The moment with a zone: UTC where none was given."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _span(given: str) -> timedelta:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = given[:-1], given[-1:]
    if not (number.isascii() and number.isdigit() and len(number) < 9 and unit in units):
        raise CommandFailed(f"{given!r} is no span of time such as 90s, 30m, 24h or 7d")
    return timedelta(seconds=int(number) * units[unit])


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        return "expired"
    return _IN_FORCE
