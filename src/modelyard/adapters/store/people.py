"""People, and the members of one tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, case, delete, or_, select, update

from modelyard.adapters.store.tables import api_keys, login_failures, members, tenants, users
from modelyard.adapters.store.tenant_rows import TenantRows, upsert, was_written
from modelyard.core.access import Role
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.tenancy.throttle import FORGOTTEN
from modelyard.tenancy.user import Failures, Member, User

_USERS: Final = select(*(users.c[name] for name in User.__struct_fields__))


class SqlUsers:
    """All people."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, user: User) -> None:
        values = {name: getattr(user, name) for name in User.__struct_fields__}
        statement = upsert(self._connection.dialect, users).values(values)
        if not was_written(self._connection, statement.on_conflict_do_nothing()):
            raise Conflict(f"there is a user '{user.name}' already")

    def put(self, user: User) -> None:
        self._connection.execute(
            update(users)
            .where(users.c.id == user.id)
            .values(
                password=user.password,
                invitation=user.invitation,
                invited_until=user.invited_until,
            )
        )

    def get(self, user_id: str) -> User:
        return self._one(_USERS.where(users.c.id == user_id), user_id)

    def named(self, name: str) -> User:
        return self._one(_USERS.where(users.c.name == name), name)

    def find(self, name: str) -> User | None:
        row = self._connection.execute(_USERS.where(users.c.name == name)).one_or_none()
        return None if row is None else User(*row)

    def invited(self, invitation: bytes) -> User | None:
        row = self._connection.execute(_USERS.where(users.c.invitation == invitation)).one_or_none()
        return None if row is None else User(*row)

    def list(self, page: PageRequest) -> Page[User]:
        statement = _USERS.order_by(users.c.id).limit(page.limit + 1)
        if page.after is not None:
            statement = statement.where(users.c.id > page.after)
        found = [User(*row) for row in self._connection.execute(statement)]
        return Page.cut(found, page, lambda user: user.id)

    def delete(self, user_id: str) -> None:
        # The memberships go with it, by the foreign key.
        self._connection.execute(delete(users).where(users.c.id == user_id))

    def places(self, user_id: str) -> Sequence[tuple[str, str, Role]]:
        rows = self._connection.execute(
            select(members.c.tenant_id, tenants.c.name, members.c.role)
            .join(tenants, tenants.c.id == members.c.tenant_id)
            .where(members.c.user_id == user_id)
            .order_by(tenants.c.name)
        )
        return [(tenant_id, name, role) for tenant_id, name, role in rows]

    def revoke_logins(self, user_id: str, at: datetime) -> None:
        self._connection.execute(
            update(api_keys)
            .where(api_keys.c.user_id == user_id, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=at)
        )

    def forget_logins(self, before: datetime) -> int:
        ended = or_(api_keys.c.expires_at <= before, api_keys.c.revoked_at <= before)
        gone = self._connection.execute(
            delete(api_keys).where(api_keys.c.user_id.is_not(None), ended)
        )
        return gone.rowcount

    def failures(self, subject: str) -> Failures | None:
        row = self._connection.execute(
            select(login_failures.c.count, login_failures.c.last_at).where(
                login_failures.c.subject == subject
            )
        ).one_or_none()
        return None if row is None else Failures(*row)

    def failed(self, subject: str, at: datetime) -> None:
        statement = upsert(self._connection.dialect, login_failures).values(
            subject=subject, count=1, last_at=at
        )
        counts = login_failures.c.last_at > at - FORGOTTEN
        again = {
            "count": case((counts, login_failures.c.count + 1), else_=1),
            "last_at": statement.excluded.last_at,
        }
        self._connection.execute(
            statement.on_conflict_do_update(index_elements=["subject"], set_=again)
        )

    def forgive(self, subject: str) -> None:
        self._connection.execute(delete(login_failures).where(login_failures.c.subject == subject))

    def forget_failures(self, before: datetime) -> int:
        gone = self._connection.execute(
            delete(login_failures).where(login_failures.c.last_at <= before)
        )
        return gone.rowcount

    def _one(self, statement: Select[Any], name: str) -> User:
        row = self._connection.execute(statement).one_or_none()
        if row is None:
            raise NotFound(f"there is no user '{name}'")
        return User(*row)


class SqlMembers(TenantRows):
    """The members of one tenant."""

    def find(self, name: str) -> Member | None:
        row = self._connection.execute(self._all().where(users.c.name == name)).one_or_none()
        return None if row is None else Member(*row)

    def list(self, page: PageRequest) -> Page[Member]:
        statement = self._all().order_by(users.c.name).limit(page.limit + 1)
        if page.after is not None:
            statement = statement.where(users.c.name > page.after)
        found = [Member(*row) for row in self._connection.execute(statement)]
        return Page.cut(found, page, lambda member: member.name)

    def put(self, member: Member) -> None:
        statement = self._upsert(
            members, user_id=member.user_id, role=member.role, created_at=member.created_at
        )
        self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=["tenant_id", "user_id"], set_={"role": statement.excluded.role}
            )
        )

    def delete(self, user_id: str) -> None:
        self._connection.execute(self._delete(members).where(members.c.user_id == user_id))

    def revoke_logins(self, user_id: str, at: datetime) -> None:
        self._connection.execute(
            self._update(api_keys)
            .where(api_keys.c.user_id == user_id, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=at)
        )

    def _all(self) -> Select[Any]:
        columns = (
            members.c.tenant_id,
            members.c.user_id,
            users.c.name,
            members.c.role,
            members.c.created_at,
        )
        return self._select(members, *columns).join(users, users.c.id == members.c.user_id)
