"""Where the server is and which key opens it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from modelyard_client.errors import ServerNotFound

START: Final = "start one with 'modelyard up', or set MODELYARD_URL and MODELYARD_API_KEY"


class Location(msgspec.Struct, frozen=True):
    """A server's address and the key for it; None when none is known.

    `tenant` is the one to act in, where that is not the key's own.
    """

    url: str
    api_key: str | None = None
    tenant: str | None = None


class _ServerFile(msgspec.Struct):
    """`server.json` in the home of a running server."""

    url: str


def locate(
    url: str | None = None,
    api_key: str | None = None,
    environ: Mapping[str, str] | None = None,
    tenant: str | None = None,
) -> Location:
    """Find the server: the arguments, then `MODELYARD_URL` and `MODELYARD_API_KEY`, then the local
    home (`MODELYARD_HOME`, or `~/.modelyard`). `MODELYARD_TENANT` names the tenant to act in.

    Without a key, the login that `modelyard login` has kept for this address is taken.

    The home's own key goes to the home's own server alone: never to another address.

    Raises:
        ServerNotFound: there is no address to be had.
    """
    environ = os.environ if environ is None else environ
    url = url or environ.get("MODELYARD_URL")
    api_key = api_key or environ.get("MODELYARD_API_KEY")
    tenant = tenant or environ.get("MODELYARD_TENANT") or None
    home = Path(environ.get("MODELYARD_HOME") or "~/.modelyard").expanduser()
    if url and api_key:
        return Location(url.rstrip("/"), api_key, tenant)
    local = _local_url(home)
    if url is None:
        if local is None:
            raise ServerNotFound("no running server was found", hint=START)
        url = local
    url = url.rstrip("/")
    api_key = api_key or session_token(url, environ)
    return Location(url, api_key or (_local_key(home) if url == local else None), tenant)


class _Session(msgspec.Struct):
    """What `modelyard login` keeps, in a file of its owner alone."""

    url: str
    token: str


def session_file(environ: Mapping[str, str]) -> Path:
    """Where a login is kept."""
    config = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "modelyard" / "session.json"


def keep_session(url: str, token: str | None, environ: Mapping[str, str] | None = None) -> None:
    """Keep the token of a login to the server at `url`; None forgets what is kept."""
    path = session_file(os.environ if environ is None else environ)
    if token is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
        out.write(msgspec.json.encode(_Session(url, token)))
    fresh.replace(path)


def session_token(url: str, environ: Mapping[str, str]) -> str | None:
    """The token of a login to the server at `url`, if one is kept."""
    try:
        kept = msgspec.json.decode(session_file(environ).read_bytes(), type=_Session)
    except (OSError, msgspec.DecodeError):
        return None
    return kept.token if kept.url == url else None


def _local_url(home: Path) -> str | None:
    try:
        return msgspec.json.decode((home / "server.json").read_bytes(), type=_ServerFile).url
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ServerNotFound(f"the local server.json cannot be read: {error}", hint=START) from None


def _local_key(home: Path) -> str | None:
    try:
        return (home / "admin.key").read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServerNotFound(f"the local admin.key cannot be read: {error}", hint=START) from None
