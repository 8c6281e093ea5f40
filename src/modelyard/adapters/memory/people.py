"""People, and the members of one tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from modelyard.adapters.memory.state import State, cut
from modelyard.core.access import Role
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.tenancy.throttle import FORGOTTEN
from modelyard.tenancy.user import Failures, Member, User


class MemoryUsers:
    """All people."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, user: User) -> None:
        if self.find(user.name) is not None:
            raise Conflict(f"there is a user '{user.name}' already")
        self._state.users[user.id] = user

    def put(self, user: User) -> None:
        self._state.users[user.id] = replace(
            self.get(user.id),
            password=user.password,
            invitation=user.invitation,
            invited_until=user.invited_until,
        )

    def get(self, user_id: str) -> User:
        try:
            return self._state.users[user_id]
        except KeyError:
            raise NotFound(f"there is no user '{user_id}'") from None

    def named(self, name: str) -> User:
        user = self.find(name)
        if user is None:
            raise NotFound(f"there is no user '{name}'")
        return user

    def find(self, name: str) -> User | None:
        return next((user for user in self._state.users.values() if user.name == name), None)

    def invited(self, invitation: bytes) -> User | None:
        found = (user for user in self._state.users.values() if user.invitation == invitation)
        return next(found, None)

    def list(self, page: PageRequest) -> Page[User]:
        return cut(self._state.users.values(), page, lambda user: user.id)

    def delete(self, user_id: str) -> None:
        del self._state.users[user_id]
        for at in [at for at in self._state.members if at[1] == user_id]:
            del self._state.members[at]

    def places(self, user_id: str) -> Sequence[tuple[str, str, Role]]:
        names = {tenant.id: tenant.name for tenant in self._state.tenants.values()}
        own = [m for m in self._state.members.values() if m.user_id == user_id]
        places = [(m.tenant_id, names[m.tenant_id], m.role) for m in own]
        return sorted(places, key=lambda place: place[1])

    def revoke_logins(self, user_id: str, at: datetime) -> None:
        for key in list(self._state.keys.values()):
            if key.user_id == user_id and key.revoked_at is None:
                self._state.keys[key.id] = replace(key, revoked_at=at)

    def forget_logins(self, before: datetime) -> int:
        ended = [
            key.id
            for key in self._state.keys.values()
            if key.user_id is not None
            and any(end is not None and end <= before for end in (key.expires_at, key.revoked_at))
        ]
        for key_id in ended:
            del self._state.keys[key_id]
        return len(ended)

    def failures(self, subject: str) -> Failures | None:
        return self._state.failures.get(subject)

    def failed(self, subject: str, at: datetime) -> None:
        present = self.failures(subject)
        counts = present is not None and present.last_at > at - FORGOTTEN
        count = present.count + 1 if present is not None and counts else 1
        self._state.failures[subject] = Failures(count, at)

    def forgive(self, subject: str) -> None:
        self._state.failures.pop(subject, None)

    def forget_failures(self, before: datetime) -> int:
        old = [each for each, failed in self._state.failures.items() if failed.last_at <= before]
        for subject in old:
            del self._state.failures[subject]
        return len(old)


class MemoryMembers:
    """The members of one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def find(self, name: str) -> Member | None:
        return next((member for member in self._own() if member.name == name), None)

    def list(self, page: PageRequest) -> Page[Member]:
        return cut(self._own(), page, lambda member: member.name)

    def put(self, member: Member) -> None:
        at = (self._tenant_id, member.user_id)
        present = self._state.members.get(at)
        kept = replace(member, tenant_id=self._tenant_id)
        self._state.members[at] = kept if present is None else replace(present, role=member.role)

    def delete(self, user_id: str) -> None:
        self._state.members.pop((self._tenant_id, user_id), None)

    def revoke_logins(self, user_id: str, at: datetime) -> None:
        for key in list(self._state.keys.values()):
            mine = (key.tenant_id, key.user_id) == (self._tenant_id, user_id)
            if mine and key.revoked_at is None:
                self._state.keys[key.id] = replace(key, revoked_at=at)

    def _own(self) -> Sequence[Member]:
        return [m for m in self._state.members.values() if m.tenant_id == self._tenant_id]
