"""People: accounts, members, logins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route

SETTLE_SECONDS: Final = 1.0
"""What changes on the server has reached all its gateways after this time."""


class User(msgspec.Struct, frozen=True):
    """A person; until `active`, no password has been set."""

    name: str
    operator: bool
    active: bool
    created_at: datetime


class Invited(msgspec.Struct, frozen=True):
    """`invitation` is the one-time token that sets a password; empty where there is one already."""

    name: str
    invitation: str


class Member(msgspec.Struct, frozen=True):
    """What a person is in the tenant."""

    name: str
    role: str
    created_at: datetime


class Session(msgspec.Struct, frozen=True):
    """A login; `token` is used like a key."""

    token: str
    name: str
    scope: str
    expires_at: datetime


class Me(msgspec.Struct, frozen=True):
    """Who is asking; `user` is None for a key."""

    key_id: str
    tenant: str
    scope: str
    user: str | None = None


class Users:
    """`/api/v1/users`, for the operator."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, *, operator: bool = False) -> Invited:
        """Make an account; its password is set with the invitation."""
        body = {"name": name, "operator": operator}
        return self._transport.request("POST", route("users"), Invited, body=body)

    def invite(self, name: str) -> Invited:
        """A new invitation, in the place of an earlier one."""
        return self._transport.request("POST", route("users", name, "invite"), Invited)

    def delete(self, name: str) -> None:
        """End an account, its memberships and logins."""
        self._transport.request("DELETE", route("users", name), type(None))

    def list(self, limit: int = 1000) -> Sequence[User]:
        """All accounts, oldest first."""
        return collect(self._transport, route("users"), Page[User], limit)


class Members:
    """`/api/v1/members`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def put(self, name: str, role: str) -> Invited:
        """Add a person as owner, publisher, consumer, accountant or auditor; or change the role."""
        return self._transport.request("PUT", route("members", name), Invited, body={"role": role})

    def remove(self, name: str) -> None:
        """Take a person out of the tenant."""
        self._transport.request("DELETE", route("members", name), type(None))

    def list(self, limit: int = 1000) -> Sequence[Member]:
        """By name."""
        return collect(self._transport, route("members"), Page[Member], limit)


class Sessions:
    """`/api/v1/sessions`, `/passwords` and `/me`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def login(
        self, name: str, password: str, tenant: str = "", *, settle: float = SETTLE_SECONDS
    ) -> Session:
        """Log in; needs no key. Returns when every gateway knows the login."""
        body = {"name": name, "password": password, "tenant": tenant}
        made = self._transport.request(
            "POST", route("sessions"), Session, body=body, repeatable=False
        )
        time.sleep(settle)
        return made

    def logout(self) -> None:
        """End the login that this client uses as its key."""
        self._transport.request("DELETE", route("sessions", "current"), type(None))

    def set_password(self, invitation: str, password: str) -> None:
        """Set a password by an invitation; needs no key."""
        body = {"invitation": invitation, "password": password}
        self._transport.request("POST", route("passwords"), type(None), body=body, repeatable=False)

    def change_password(self, current: str, password: str) -> None:
        """Change one's own; all logins end."""
        body = {"current": current, "password": password}
        self._transport.request("PUT", route("me", "password"), type(None), body=body)

    def me(self) -> Me:
        """Who is asking."""
        return self._transport.request("GET", route("me"), Me)
