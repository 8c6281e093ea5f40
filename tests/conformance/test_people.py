from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from modelyard.core import ids
from modelyard.core.access import Role
from modelyard.core.clock import ManualClock
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import PageRequest
from modelyard.tenancy.logins import Logins
from modelyard.tenancy.throttle import FORGOTTEN
from modelyard.tenancy.user import ENDED, Failures, Member, User
from tests.conformance.samples import OURS, START, THEIRS, a_key
from tests.conformance.stores import AnyStore


def a_user(store: AnyStore, name: str = "ann@example.com") -> User:
    user = User(ids.new_id(ids.USER), name, False, START, None, name.encode(), START)
    with store.begin() as tx:
        tx.users().add(user)
    return user


def join(store: AnyStore, user: User, tenant_id: str = OURS, role: Role = Role.OWNER) -> Member:
    member = Member(tenant_id, user.id, user.name, role, START)
    with store.begin() as tx:
        tx.members(tenant_id).put(member)
    return member


def test_a_user_comes_back_as_it_was_added(store: AnyStore) -> None:
    user = a_user(store)
    with store.begin() as tx, pytest.raises(Conflict, match="there is a user"):
        tx.users().add(replace(user, id=ids.new_id(ids.USER), invitation=None))
    active = replace(user, password="$argon2id$...", invitation=None, invited_until=None)
    with store.begin() as tx:
        assert tx.users().invited(user.name.encode()) == user
        tx.users().put(active)
    with store.read() as tx:
        users = tx.users()
        assert users.get(user.id) == users.named(user.name) == users.find(user.name) == active
        assert users.list(PageRequest()).items == [active]
        assert users.invited(user.name.encode()) is None
        assert users.find("nobody") is None
        for missing in (users.get, users.named):
            with pytest.raises(NotFound):
                missing("nobody")


def test_a_member_belongs_to_the_tenant_and_goes_with_the_account(store: AnyStore) -> None:
    user = a_user(store)
    member = join(store, user)
    with store.begin() as tx:
        assert tx.members(OURS).find(user.name) == member
        assert tx.members(THEIRS).find(user.name) is None
        assert tx.members(THEIRS).list(PageRequest()).items == []
        tx.members(THEIRS).delete(user.id)
        tx.members(OURS).put(replace(member, role=Role.AUDITOR, created_at=START + timedelta(1)))
    join(store, user, THEIRS, Role.CONSUMER)
    with store.read() as tx:
        assert tx.members(OURS).list(PageRequest()).items == [replace(member, role=Role.AUDITOR)]
        places = [(OURS, "ours", Role.AUDITOR), (THEIRS, "theirs", Role.CONSUMER)]
        assert list(tx.users().places(user.id)) == places
    with store.begin() as tx:
        tx.users().delete(user.id)
        assert tx.members(OURS).list(PageRequest()).items == []
        assert tx.users().find(user.name) is None


def test_logins_are_revoked_in_a_tenant_or_in_all(store: AnyStore) -> None:
    user = a_user(store)
    ours, theirs = (replace(a_key(tenant), user_id=user.id) for tenant in (OURS, THEIRS))
    plain = a_key()
    with store.begin() as tx:
        for key in (ours, theirs, plain):
            tx.keys(key.tenant_id).add(key)
        # Logins are no keys that one made.
        assert tx.keys(OURS).list(PageRequest()).items == [plain]
        tx.members(OURS).revoke_logins(user.id, START)
        assert tx.keys(OURS).get(ours.id).revoked_at == START
        assert tx.keys(THEIRS).get(theirs.id).revoked_at is None
        tx.users().revoke_logins(user.id, START + timedelta(1))
        assert tx.keys(OURS).get(ours.id).revoked_at == START
        assert tx.keys(THEIRS).get(theirs.id).revoked_at == START + timedelta(1)
        assert tx.keys(OURS).get(plain.id).revoked_at is None


def test_failed_logins_are_counted_until_they_are_forgotten(store: AnyStore) -> None:
    later = START + FORGOTTEN - timedelta(seconds=1)
    with store.begin() as tx:
        users = tx.users()
        assert users.failures("account:a") is None
        users.failed("account:a", START)
        users.failed("account:a", later)
        users.failed("account:b", later)
        assert users.failures("account:a") == Failures(2, later)
        users.failed("account:a", later + FORGOTTEN)
        assert users.failures("account:a") == Failures(1, later + FORGOTTEN)
        users.forgive("account:a")
        assert users.failures("account:a") is None
        assert users.failures("account:b") == Failures(1, later)


def test_logins_that_ended_long_ago_are_forgotten_and_keys_are_not(
    store: AnyStore, clock: ManualClock
) -> None:
    user, now = a_user(store), clock.now()
    # Hours until it ends by itself, and until it is left.
    ends = {"running": (12, None), "over": (1, None), "left": (12, 1), "later": (12, 3)}
    logins = {
        name: replace(
            a_key(name=name),
            user_id=user.id,
            expires_at=now + timedelta(hours=hours),
            revoked_at=None if left is None else now + timedelta(hours=left),
        )
        for name, (hours, left) in ends.items()
    }
    logins["key"] = replace(a_key(), expires_at=now, revoked_at=now)
    with store.begin() as tx:
        for login in logins.values():
            tx.keys(OURS).add(login)
        tx.users().failed("old", now)
        tx.users().failed("new", now + ENDED + timedelta(hours=1))
    keeper = Logins(store, clock)
    assert keeper.forget() == 0
    clock.advance((ENDED + timedelta(hours=1)).total_seconds())
    assert keeper.forget() == 3
    assert keeper.forget() == 0
    with store.read() as tx:
        for name, login in logins.items():
            if name not in ("over", "left"):
                assert tx.keys(OURS).get(login.id) == login
                continue
            with pytest.raises(NotFound):
                tx.keys(OURS).get(login.id)
        assert (tx.users().failures("old"), tx.users().failures("new") is None) == (None, False)
