"""A provider: somebody else's OpenAI API, which models of ours may stand for."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.http_timeouts import HttpTimeouts
from modelyard.core.secret import Secret

MAX_URL: Final = 2000
MAX_KEY: Final = 4096
MAX_FORWARDED: Final = 16

_HEADER: Final = re.compile(r"[a-z0-9-]{1,64}")
_KEY: Final = re.compile(rf"[!-~]{{1,{MAX_KEY}}}")
_NEVER_FORWARDED: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    }
)
"""Headers that carry keys of ours, or that say how a message is framed."""


class ProviderSpec(msgspec.Struct, frozen=True):
    """What its owner says of it.

    `base_url` is what OpenAI's clients call so: `https://api.openai.com/v1`. `forward_headers`
    are the names of request headers that are passed on to it.
    """

    base_url: str
    forward_headers: tuple[str, ...] = ()
    timeouts: HttpTimeouts = HttpTimeouts()


class Provider(msgspec.Struct, frozen=True):
    """A provider. `sealed` is its API key, which nobody is shown; empty where it wants none."""

    id: str
    name: str
    spec: ProviderSpec
    sealed: bytes
    created_at: datetime
    updated_at: datetime


class Probe(msgspec.Struct, frozen=True):
    """What came of asking a provider for its models. `reason` is empty if all went well.

    `milliseconds` is the time until its whole answer; `models` are the first of their names.
    """

    reason: str
    milliseconds: float
    models: tuple[str, ...] = ()


def checked(spec: ProviderSpec) -> ProviderSpec:
    """The spec in the form in which it is kept: the URL without a slash at its end, names of
    headers in lower case.

    Raises:
        Invalid: a URL that is none or holds more than an address, or a header that is never
            passed on.
    """
    url = spec.base_url.rstrip("/")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid("base_url is no URL") from None
    good = parts.scheme in ("http", "https") and parts.hostname and port != 0
    if not good or len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid("base_url must be such as https://api.example.com/v1")
    if parts.username is not None or parts.password is not None:
        raise Invalid("base_url must hold no user or password: give the key as api_key")
    if "?" in url or "#" in url:
        raise Invalid("base_url must hold neither a query nor a fragment")
    names = tuple(dict.fromkeys(name.lower() for name in spec.forward_headers))
    if len(names) > MAX_FORWARDED:
        raise Invalid(f"forward_headers may name {MAX_FORWARDED} headers")
    for name in names:
        if not _HEADER.fullmatch(name) or name in _NEVER_FORWARDED:
            raise Invalid(f"forward_headers: '{name[:64]}' cannot be passed on")
    return ProviderSpec(url, names, spec.timeouts)


def checked_key(key: Secret) -> Secret:
    """The key. Raises Invalid unless it can stand in a header; does not say what it is."""
    if not _KEY.fullmatch(key.reveal()):
        raise Invalid(f"api_key must be 1 to {MAX_KEY} printable ASCII characters without spaces")
    return key
