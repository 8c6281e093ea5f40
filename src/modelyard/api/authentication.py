"""Reading the key that a request presents. What it grants is the key ring's to say."""

from __future__ import annotations

import base64
import binascii
from typing import Final, Protocol

from modelyard.api.http import Headers
from modelyard.core.access import Grant, Permission, require
from modelyard.core.addresses import caller, within
from modelyard.core.errors import Forbidden, Invalid, Unauthenticated
from modelyard.tenancy.key import MAX_KEY

TENANT_HEADER: Final = b"x-modelyard-tenant"
"""Names the tenant that a request to the management API acts in."""


COOKIE: Final = b"__Host-modelyard"
"""Holds a login in a browser. The prefix binds it to this host, and to TLS or localhost."""


class KeyRing(Protocol):
    """The keys in force."""

    def grant(self, secret: bytes) -> Grant | None:
        """What the presented key stands for; None for one that is not in force."""
        ...


def presented_key(headers: Headers, *, basic: bool = False) -> bytes | None:
    """The key in `Authorization: Bearer ...` or else in `X-API-Key`.

    With `basic`, also the password of HTTP Basic: a browser that opens the documentation can
    send nothing else. It is off for all that changes or computes something, since browsers
    attach such passwords to requests of other sites.
    """
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, rest = authorization.partition(b" ")
        scheme = scheme.lower()
        if scheme == b"bearer":
            return rest.strip()[: MAX_KEY + 1]
        if basic and scheme == b"basic":
            return _password(rest)
    key = headers.get(b"x-api-key")
    return None if key is None else key.strip()[: MAX_KEY + 1]


def authenticate(ring: KeyRing, secret: bytes | None) -> Grant:
    """What the key grants.

    Raises:
        Unauthenticated: no key, or one that is not in force. The two kinds of bad key (unknown,
            revoked) are told apart nowhere.
    """
    if not secret:
        raise Unauthenticated("a key is required: send 'Authorization: Bearer my_...'")
    grant = ring.grant(secret) if len(secret) <= MAX_KEY else None
    if grant is None:
        raise Unauthenticated("this key is not valid: it is unknown, revoked or expired")
    return grant


class Gate:
    """Who may in: by the key that a request presents, and by the address it comes from.

    `proxies` are the networks of those whose `X-Forwarded-For` is believed.
    """

    def __init__(self, ring: KeyRing, proxies: tuple[str, ...] = ()) -> None:
        self._ring = ring
        self._proxies = proxies

    def admit(
        self, headers: Headers, peer: str, *, basic: bool = False, reads: bool = False
    ) -> Grant:
        """What the request's key, or a browser's login, grants. `reads` says that it changes
        nothing. Raises Unauthenticated, Forbidden.
        """
        secret = presented_key(headers, basic=basic)
        if secret is None:
            secret = _login(headers)
            if secret is not None and not reads and not _same_origin(headers):
                raise Forbidden("a browser's login changes nothing at the wish of another site")
        grant = authenticate(self._ring, secret)
        if grant.networks:
            self.check_address(grant, headers, peer)
        return grant

    def admit_caller(self, headers: Headers, peer: str) -> Grant:
        """The same for a request to the data plane. Raises Invalid, too."""
        grant = self.recognise(headers)
        if grant.networks:
            self.check_address(grant, headers, peer)
        return grant

    def recognise(self, headers: Headers) -> Grant:
        """Who calls a model, before it is known from where. Raises as `admit_caller` does."""
        grant = authenticate(self._ring, presented_key(headers))
        require(grant, Permission.INFER)
        if TENANT_HEADER in headers:
            raise Invalid("a key calls models of its own tenant only; leave X-Modelyard-Tenant out")
        return grant

    def address(self, headers: Headers, peer: str) -> str:
        """Where the caller is."""
        forwarded = headers.get(b"x-forwarded-for", b"") if self._proxies else b""
        return caller(peer, forwarded, self._proxies)

    def check_address(self, grant: Grant, headers: Headers, peer: str) -> None:
        """Raises Forbidden when the key is not good for callers from there."""
        if grant.networks and not within(self.address(headers, peer), grant.networks):
            raise Forbidden("this key may not be used from this address")


def _login(headers: Headers) -> bytes | None:
    for part in headers.get(b"cookie", b"").split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == COOKIE:
            return value
    return None


def _same_origin(headers: Headers) -> bool:
    """Whether a page of this host sent it. Browsers say so themselves, older ones by `Origin`."""
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site == b"same-origin"
    _, _, host = headers.get(b"origin", b"").partition(b"://")
    return bool(host) and host == headers.get(b"host")


def _password(encoded: bytes) -> bytes | None:
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2][: MAX_KEY + 1]
    except binascii.Error:
        return None
