"""People: accounts, membership, passwords and logins: use cases.

A login makes a key that ends by itself and belongs to the person: so it is known to every gateway,
and is revoked, like any other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from modelyard.core import ids
from modelyard.core.access import Grant, Role, Scope, covers
from modelyard.core.clock import Clock
from modelyard.core.errors import Forbidden, Invalid, NotFound, Unauthenticated
from modelyard.core.pages import Page, PageRequest
from modelyard.core.ports import Store
from modelyard.tenancy.key import ApiKey, hash_secret, hint_of, new_secret
from modelyard.tenancy.ports import PasswordHasher, PeopleTransaction
from modelyard.tenancy.tenant import DEFAULT
from modelyard.tenancy.throttle import check, subject
from modelyard.tenancy.user import (
    INVITED,
    SESSION,
    Member,
    User,
    check_password,
    check_user_name,
)

WRONG: Final = "the name or the password is not right"


class PeopleService:
    """Accounts and logins. There is no password that nobody has set."""

    def __init__(
        self, store: Store[PeopleTransaction], clock: Clock, hasher: PasswordHasher, pepper: bytes
    ) -> None:
        self._store = store
        self._clock = clock
        self._hasher = hasher
        self._pepper = pepper

    # Accounts

    def create(self, name: str, *, operator: bool = False) -> tuple[User, str]:
        """Make an account; the second value is the one-time token with which its password is set.

        Raises:
            Invalid: not a name.
            Conflict: it is taken.
        """
        check_user_name(name)
        user, token = self._invited(User(ids.new_id(ids.USER), name, operator, self._clock.now()))
        with self._store.begin() as tx:
            tx.users().add(user)
        return user, token

    def invite_again(self, name: str) -> str:
        """A new one-time token, in the place of an earlier one. Raises NotFound."""
        with self._store.begin() as tx:
            user, token = self._invited(tx.users().named(name))
            tx.users().put(user)
        return token

    def users(self, page: PageRequest) -> Page[User]:
        """All accounts, oldest first."""
        with self._store.read() as tx:
            return tx.users().list(page)

    def delete(self, name: str) -> None:
        """End an account with its memberships and logins. Raises NotFound."""
        with self._store.begin() as tx:
            user = tx.users().named(name)
            tx.users().revoke_logins(user.id, self._clock.now())
            tx.users().delete(user.id)
            tx.bump()

    # Members

    def members(self, tenant_id: str, page: PageRequest) -> Page[Member]:
        """The tenant's members, by name."""
        with self._store.read() as tx:
            return tx.members(tenant_id).list(page)

    def put_member(self, grant: Grant, name: str, role: Role) -> tuple[Member, str | None]:
        """Make a person a member, or give a member another role.

        Who has no account yet gets one: the second value is its one-time token then.

        Raises:
            Invalid: not a name.
            Forbidden: the role, or the one that the member has, holds what the caller does not.
        """
        check_user_name(name)
        covers(grant, role.scope)
        token, now = None, self._clock.now()
        with self._store.begin() as tx:
            user = tx.users().find(name)
            if user is None:
                user, token = self._invited(User(ids.new_id(ids.USER), name, False, now))
                tx.users().add(user)
            members = tx.members(grant.tenant_id)
            present = members.find(name)
            member = Member(grant.tenant_id, user.id, name, role, now)
            if present is not None:
                covers(grant, present.role.scope)
                member = msgspec.structs.replace(present, role=role)
                members.revoke_logins(user.id, now)
                tx.bump()
            members.put(member)
        return member, token

    def remove_member(self, grant: Grant, name: str) -> None:
        """Take a person out of the tenant; their logins to it end.

        Raises:
            NotFound: there is no such member.
            Forbidden: the member's role holds what the caller does not.
        """
        with self._store.begin() as tx:
            members = tx.members(grant.tenant_id)
            member = members.find(name)
            if member is None:
                raise NotFound(f"there is no member '{name}'")
            covers(grant, member.role.scope)
            members.revoke_logins(member.user_id, self._clock.now())
            members.delete(member.user_id)
            tx.bump()

    # Passwords

    def set_password(self, token: str, password: str) -> None:
        """Set a password by a one-time token, which is good for nothing after that. All logins of
        the account end.

        Raises:
            Unauthenticated: the token is unknown, used or too old.
            Invalid: the password is too short or too long.
        """
        check_password(password)
        hashed = hash_secret(token.encode(), self._pepper)
        self._invitee(hashed)
        encoded = self._hasher.hash(password)
        with self._store.begin() as tx:
            user = tx.users().invited(hashed)
            if user is None:
                raise Unauthenticated("this invitation is not valid any more")
            self._keep(tx, user, encoded)

    def change_password(self, grant: Grant, current: str, password: str) -> None:
        """Change one's own password. All logins of the account end, this one too.

        Raises:
            Forbidden: nobody has logged in here, or `current` is not the password.
            Invalid: the new password is too short or too long.
            RateLimited: too many attempts have failed.
        """
        check_password(password)
        with self._store.read() as tx:
            user = tx.users().get(grant.user_id) if grant.user_id else None
        if user is None:
            raise Forbidden("this is a key: only a person who has logged in has a password")
        self._verify(user.name, user, current, "")
        encoded = self._hasher.hash(password)
        with self._store.begin() as tx:
            self._keep(tx, tx.users().get(user.id), encoded)

    # Logins

    def login(
        self, name: str, password: str, tenant: str | None, address: str
    ) -> tuple[ApiKey, str]:
        """Log in; the second value is the secret that stands for the login from here on.

        An account that does not exist is answered like a wrong password, after the same time.

        Raises:
            Unauthenticated: the name or the password is not right.
            RateLimited: too many logins have failed, for this account or from this address.
            Invalid: the person has several tenants and has not said which, or has none.
        """
        with self._store.read() as tx:
            user = tx.users().find(name)
        verified = self._verify(name, user, password, address)
        secret, now = new_secret(), self._clock.now()
        with self._store.begin() as tx:
            tenant_id, scope = self._place(tx, verified, tenant)
            key = ApiKey(
                id=ids.new_id(ids.SESSION),
                tenant_id=tenant_id,
                name=name,
                scope=scope,
                hash=hash_secret(secret.encode(), self._pepper),
                hint=hint_of(secret),
                created_at=now,
                expires_at=now + SESSION,
                user_id=verified.id,
            )
            tx.keys(tenant_id).add(key)
            tx.bump()
        return key, secret

    def logout(self, grant: Grant) -> None:
        """End the login that the request came with. Raises Forbidden for a key that is none."""
        if not grant.user_id:
            raise Forbidden("this is a key, no login: it is revoked, not logged out")
        with self._store.begin() as tx:
            tx.keys(grant.tenant_id).revoke(grant.key_id, self._clock.now())
            tx.bump()

    def user_name(self, grant: Grant) -> str | None:
        """Who has logged in, if it is a person."""
        if not grant.user_id:
            return None
        with self._store.read() as tx:
            return tx.users().get(grant.user_id).name

    def _verify(self, name: str, user: User | None, password: str, address: str) -> User:
        """The user, if the password is right: checked outside of any transaction, for it takes a
        tenth of a second.
        """
        watched = [("account", subject("account", name))]
        if address:
            watched.append(("address", subject("address", address)))
        now = self._clock.now()
        with self._store.read() as tx:
            for kind, counted in watched:
                check(kind, tx.users().failures(counted), now)
        right = self._hasher.verify(None if user is None else user.password, password)
        with self._store.begin() as tx:
            if right and user is not None:
                tx.users().forgive(watched[0][1])
                return user
            for _, counted in watched:
                tx.users().failed(counted, now)
        raise Unauthenticated(WRONG)

    def _place(self, tx: PeopleTransaction, user: User, tenant: str | None) -> tuple[str, str]:
        """The tenant that a login is for, and what it allows there."""
        if user.operator and tenant is None:
            return tx.tenants().named(DEFAULT).id, Scope.ADMIN
        places = {name: (tenant_id, role) for tenant_id, name, role in tx.users().places(user.id)}
        if tenant is None and len(places) != 1:
            known = ", ".join(sorted(places)) or "none"
            raise Invalid(f"say which tenant you log in to; yours are: {known}")
        name = tenant if tenant is not None else next(iter(places))
        if name not in places:
            raise Invalid(f"you are no member of a tenant '{name[:80]}'")
        tenant_id, role = places[name]
        return tenant_id, role.scope

    def _invited(self, user: User) -> tuple[User, str]:
        token = new_secret()
        hashed = hash_secret(token.encode(), self._pepper)
        until = self._clock.now() + INVITED
        return msgspec.structs.replace(user, invitation=hashed, invited_until=until), token

    def _invitee(self, hashed: bytes) -> None:
        """Raises Unauthenticated when the invitation is not good, before anything costs time."""
        with self._store.read() as tx:
            user = tx.users().invited(hashed)
        now: datetime = self._clock.now()
        if user is None or user.invited_until is None or user.invited_until <= now:
            raise Unauthenticated("this invitation is not valid any more")

    def _keep(self, tx: PeopleTransaction, user: User, encoded: str) -> None:
        tx.users().put(
            msgspec.structs.replace(user, password=encoded, invitation=None, invited_until=None)
        )
        tx.users().forgive(subject("account", user.name))
        tx.users().revoke_logins(user.id, self._clock.now())
        tx.bump()
