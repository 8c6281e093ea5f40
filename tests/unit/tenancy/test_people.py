"""Accounts, membership and logins, with a hasher that costs nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from modelyard.adapters.memory import MemoryControlPlane, MemoryStore
from modelyard.core.access import Grant, Role, Scope
from modelyard.core.clock import ManualClock
from modelyard.core.errors import Forbidden, Invalid, NotFound, RateLimited, Unauthenticated
from modelyard.core.pages import PageRequest
from modelyard.tenancy.key import hash_secret
from modelyard.tenancy.people import PeopleService
from modelyard.tenancy.service import TenancyService
from modelyard.tenancy.tenant import DEFAULT

PEPPER = bytes(range(32))
PASSWORD = "correct horse battery"
ANN = "ann@example.com"


class PlainHasher:
    """Counts what it was asked; its hashes are none."""

    def __init__(self) -> None:
        self.verified = 0

    def hash(self, password: str) -> str:
        return f"hash of {password}"

    def verify(self, encoded: str | None, password: str) -> bool:
        self.verified += 1
        return encoded == f"hash of {password}"


class World:
    def __init__(self) -> None:
        self.store, self.clock, self.hasher = MemoryStore(), ManualClock(), PlainHasher()
        self.tenancy = TenancyService(self.store, self.clock, PEPPER)
        self.people = PeopleService(self.store, self.clock, self.hasher, PEPPER)
        self.control = MemoryControlPlane(self.store, self.clock)
        self.tenancy.open(None)
        self.acme = self.tenancy.open_tenant("acme").id
        self.owner = Grant("key_1", self.acme, Scope.MANAGE)

    def ann(self, role: Role = Role.PUBLISHER) -> None:
        _, invitation = self.people.put_member(self.owner, ANN, role)
        assert invitation is not None
        self.people.set_password(invitation, PASSWORD)

    def login(self, password: str = PASSWORD, tenant: str | None = None) -> str:
        return self.people.login(ANN, password, tenant, "192.0.2.1")[1]

    def grant(self, secret: str) -> Grant | None:
        known = {entry.hash: entry.grant for entry in self.control.wanted().keys}
        return known.get(hash_secret(secret.encode(), PEPPER))


@pytest.fixture
def world() -> World:
    return World()


def test_a_member_sets_a_password_and_logs_in_with_the_roles_permissions(world: World) -> None:
    world.ann(Role.AUDITOR)
    grant = world.grant(world.login())
    assert grant is not None
    assert (grant.tenant_id, grant.permissions) == (world.acme, Role.AUDITOR.permissions)
    assert world.people.user_name(grant) == ANN
    world.clock.advance(timedelta(hours=12).total_seconds())
    assert world.control.wanted().keys[0].grant.user_id == ""


def test_nobody_has_a_password_that_they_have_not_set(world: World) -> None:
    world.people.put_member(world.owner, ANN, Role.OWNER)
    for guess in ("", "admin", "password", PASSWORD):
        with pytest.raises(Unauthenticated):
            world.people.login(ANN, guess, None, "")


def test_an_invitation_is_good_once_and_for_three_days(world: World) -> None:
    _, invitation = world.people.create(ANN)
    with pytest.raises(Invalid, match="12 to 256"):
        world.people.set_password(invitation, "short")
    with pytest.raises(Invalid, match="different"):
        world.people.set_password(invitation, "aaaaaaaaaaaaaa")
    newer = world.people.invite_again(ANN)
    with pytest.raises(Unauthenticated):
        world.people.set_password(invitation, PASSWORD)
    world.people.set_password(newer, PASSWORD)
    with pytest.raises(Unauthenticated):
        world.people.set_password(newer, PASSWORD)
    late = world.people.invite_again(ANN)
    world.clock.advance(timedelta(days=3).total_seconds())
    with pytest.raises(Unauthenticated):
        world.people.set_password(late, PASSWORD)
    with pytest.raises(NotFound):
        world.people.invite_again("nobody@example.com")


def test_wrong_passwords_and_unknown_names_look_alike_and_cost_alike(world: World) -> None:
    world.ann()
    told = []
    for name, password in ((ANN, "wrong"), ("nobody@example.com", "wrong"), ("x" * 999, PASSWORD)):
        before = world.hasher.verified
        with pytest.raises(Unauthenticated) as refused:
            world.people.login(name, password, None, "")
        assert world.hasher.verified == before + 1
        told.append(refused.value.message)
    assert len(set(told)) == 1


def test_failures_slow_an_account_down_wherever_they_come_from(world: World) -> None:
    world.ann()
    for number in range(5):
        with pytest.raises(Unauthenticated):
            world.people.login(ANN, "wrong", None, f"192.0.2.{number}")
    verified = world.hasher.verified
    with pytest.raises(RateLimited) as refused:
        world.login()
    assert refused.value.retry_after == 1
    assert world.hasher.verified == verified
    world.clock.advance(1.5)
    world.login()
    with pytest.raises(Unauthenticated):
        world.login("wrong")


def test_failures_slow_an_address_down_whatever_the_account(world: World) -> None:
    world.ann()
    for number in range(20):
        with pytest.raises(Unauthenticated):
            world.people.login(f"user{number}@example.com", "wrong", None, "192.0.2.1")
    with pytest.raises(RateLimited):
        world.login()
    world.people.login(ANN, PASSWORD, None, "192.0.2.2")


def test_the_pause_grows_and_ends(world: World) -> None:
    pauses = []
    for _ in range(40):
        try:
            world.people.login(ANN, "wrong", None, "")
        except RateLimited as refused:
            pauses.append(refused.retry_after)
            world.clock.advance(refused.retry_after)
        except Unauthenticated:
            pass
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1, 900)


def test_a_new_password_a_role_and_the_end_of_it_all_end_logins(world: World) -> None:
    world.ann()
    first = world.login()
    grant = world.grant(first)
    assert grant is not None
    with pytest.raises(Unauthenticated):
        world.people.change_password(grant, "wrong", PASSWORD + "!")
    world.people.change_password(grant, PASSWORD, PASSWORD + "!")
    assert world.grant(first) is None
    second = world.login(PASSWORD + "!")
    world.people.put_member(world.owner, ANN, Role.CONSUMER)
    assert world.grant(second) is None
    third = world.login(PASSWORD + "!")
    grant = world.grant(third)
    assert grant is not None
    world.people.logout(grant)
    assert world.grant(third) is None
    fourth = world.login(PASSWORD + "!")
    world.people.remove_member(world.owner, ANN)
    assert world.grant(fourth) is None
    with pytest.raises(Invalid, match="yours are: none"):
        world.login(PASSWORD + "!")
    with pytest.raises(NotFound):
        world.people.remove_member(world.owner, ANN)


def test_who_has_several_tenants_says_which(world: World) -> None:
    world.ann()
    globex = world.tenancy.open_tenant("globex").id
    other = Grant("key_2", globex, Scope.MANAGE)
    assert world.people.put_member(other, ANN, Role.CONSUMER)[1] is None
    with pytest.raises(Invalid, match="acme, globex"):
        world.login()
    with pytest.raises(Invalid, match="no member"):
        world.login(tenant=DEFAULT)
    grant = world.grant(world.login(tenant="globex"))
    assert grant is not None
    assert (grant.tenant_id, grant.permissions) == (globex, Role.CONSUMER.permissions)


def test_nobody_gives_or_takes_a_role_that_holds_more_than_they_may(world: World) -> None:
    helper = Grant("key_3", world.acme, "members:read members:write " + Role.CONSUMER.scope)
    world.people.put_member(helper, "bob@example.com", Role.CONSUMER)
    with pytest.raises(Forbidden):
        world.people.put_member(helper, "eve@example.com", Role.OWNER)
    world.ann(Role.OWNER)
    for meddle in (
        lambda: world.people.put_member(helper, ANN, Role.CONSUMER),
        lambda: world.people.remove_member(helper, ANN),
    ):
        with pytest.raises(Forbidden):
            meddle()
    with pytest.raises(NotFound):
        world.people.remove_member(Grant("k", "tnt_other", Scope.MANAGE), ANN)
    assert len(world.people.members(world.acme, PageRequest()).items) == 2


def test_an_operator_who_logs_in_operates(world: World) -> None:
    _, invitation = world.people.create(ANN, operator=True)
    world.people.set_password(invitation, PASSWORD)
    grant = world.grant(world.login())
    assert grant is not None
    assert grant.scope == Scope.ADMIN
    assert world.tenancy.act(grant, "acme").tenant_id == world.acme
    world.people.delete(ANN)
    assert len(world.control.wanted().keys) == 1


@pytest.mark.parametrize("name", ["", "a", "Ann@example.com", "a b", "x" * 101, "ann@", "é@x.org"])
def test_a_name_that_is_none_is_refused(world: World, name: str) -> None:
    with pytest.raises(Invalid, match="user name"):
        world.people.create(name)


def test_a_key_is_no_person(world: World) -> None:
    assert world.people.user_name(world.owner) is None
    with pytest.raises(Forbidden):
        world.people.logout(world.owner)
    with pytest.raises(Forbidden):
        world.people.change_password(world.owner, PASSWORD, PASSWORD)
