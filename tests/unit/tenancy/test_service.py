from datetime import timedelta

import pytest

from modelyard.adapters.memory import MemoryControlPlane, MemoryStore
from modelyard.core.access import Grant, Scope
from modelyard.core.clock import ManualClock
from modelyard.core.errors import Conflict, Forbidden, Invalid, NotFound
from modelyard.core.pages import PageRequest
from modelyard.tenancy.key import ApiKey, hash_secret
from modelyard.tenancy.service import TenancyService
from modelyard.tenancy.tenant import DEFAULT

PEPPER = bytes(range(32))
OPERATOR = "0123456789abcdef0123456789abcdef"


class World:
    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), ManualClock()
        self.tenancy = TenancyService(self.store, self.clock, PEPPER)
        self.control = MemoryControlPlane(self.store, self.clock)

    def tenant(self) -> str:
        with self.store.read() as tx:
            return tx.tenants().named(DEFAULT).id

    def grants(self, secret: str) -> str | None:
        known = {entry.hash: entry.grant.scope for entry in self.control.wanted().keys}
        return known.get(hash_secret(secret.encode(), PEPPER))


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_start_makes_the_operators_key_and_the_second_none(world: World) -> None:
    secret = world.tenancy.open(None)
    assert secret is not None
    assert world.grants(secret) == Scope.ADMIN
    assert world.tenancy.open(None) is None
    assert world.tenancy.open("y" * 3) is None


def test_the_operator_may_bring_a_key(world: World) -> None:
    assert world.tenancy.open(OPERATOR) == OPERATOR
    assert world.grants(OPERATOR) == Scope.ADMIN


@pytest.mark.parametrize(
    "weak",
    [
        "",
        "short",
        "a" * 40,
        "abcdefghi" * 5,
        OPERATOR[:31],
        OPERATOR + " x",
        OPERATOR + "\n",
        " " + OPERATOR,
        OPERATOR + "é",
        OPERATOR * 16 + "x",
    ],
)
def test_a_key_that_is_weak_or_cannot_be_sent_is_refused_unsaid(world: World, weak: str) -> None:
    with pytest.raises(Invalid, match="MODELYARD_ADMIN_KEY is too weak or cannot be sent") as told:
        world.tenancy.open(weak)
    assert not weak or weak not in told.value.message
    with world.store.read() as tx, pytest.raises(NotFound):
        tx.tenants().named(DEFAULT)


def test_a_new_key_is_shown_once_and_kept_as_a_hash(world: World) -> None:
    world.tenancy.open(OPERATOR)
    key, secret = world.tenancy.create_key(world.tenant(), " app ", Scope.INFER)
    assert (key.name, key.scope, key.created_at) == ("app", Scope.INFER, world.clock.now())
    assert key.hash == hash_secret(secret.encode(), PEPPER)
    assert secret.startswith(key.hint)
    assert secret not in repr(world.tenancy.key(world.tenant(), key.id))
    assert world.grants(secret) == Scope.INFER


def test_every_change_of_a_key_is_told_to_the_gateways(world: World) -> None:
    world.tenancy.open(OPERATOR)
    before = world.control.revision()
    key, secret = world.tenancy.create_key(world.tenant(), "app", Scope.MANAGE)
    made = world.control.revision()
    revoked = world.tenancy.revoke_key(world.tenant(), key.id)
    assert before < made < world.control.revision()
    assert revoked.revoked_at == world.clock.now()
    assert world.grants(secret) is None


def test_revoking_again_keeps_the_first_moment(world: World) -> None:
    world.tenancy.open(OPERATOR)
    key, _ = world.tenancy.create_key(world.tenant(), "app", Scope.INFER)
    first = world.tenancy.revoke_key(world.tenant(), key.id)
    world.clock.advance(60)
    assert world.tenancy.revoke_key(world.tenant(), key.id) == first


def test_another_tenants_key_is_not_there(world: World) -> None:
    world.tenancy.open(OPERATOR)
    key, secret = world.tenancy.create_key(world.tenant(), "app", Scope.INFER)
    for act in (world.tenancy.key, world.tenancy.revoke_key):
        with pytest.raises(NotFound):
            act("tnt_other", key.id)
    assert world.tenancy.list_keys("tnt_other", PageRequest()).items == []
    assert world.grants(secret) == Scope.INFER


@pytest.mark.parametrize("name", ["", "   ", "a" * 101, "a\nb", "a\x00"])
def test_a_name_is_short_and_printable(world: World, name: str) -> None:
    world.tenancy.open(OPERATOR)
    with pytest.raises(Invalid, match="key's name"):
        world.tenancy.create_key(world.tenant(), name, Scope.INFER)


def test_an_expiry_lies_ahead_and_ends_the_key(world: World) -> None:
    world.tenancy.open(OPERATOR)
    now = world.clock.now()
    for passed in (now, now - timedelta(seconds=1)):
        with pytest.raises(Invalid, match="already passed"):
            world.tenancy.create_key(world.tenant(), "app", Scope.INFER, passed)
    soon = now + timedelta(seconds=5)
    _, secret = world.tenancy.create_key(world.tenant(), "app", Scope.INFER, soon)
    assert world.grants(secret) == Scope.INFER
    world.clock.advance(5)
    assert world.grants(secret) is None


def test_only_the_operator_opens_and_sees_all_tenants(world: World) -> None:
    world.tenancy.open(OPERATOR)
    acme = world.tenancy.open_tenant("acme")
    operator = Grant("key_1", world.tenant(), Scope.ADMIN)
    owner = Grant("key_2", acme.id, Scope.MANAGE)
    names = [tenant.name for tenant in world.tenancy.tenants(operator, PageRequest()).items]
    assert names == [DEFAULT, "acme"]
    assert world.tenancy.tenants(owner, PageRequest()).items == [acme]
    assert world.tenancy.act(operator, "acme").tenant_id == acme.id
    assert world.tenancy.act(owner, "acme") == owner
    for name in (DEFAULT, "nobody"):
        with pytest.raises(NotFound, match=f"there is no tenant '{name}'"):
            world.tenancy.act(owner, name)
    with pytest.raises(Conflict):
        world.tenancy.open_tenant("acme")
    with pytest.raises(Invalid, match="tenant name"):
        world.tenancy.open_tenant("Acme!")


def test_the_operators_scope_stays_in_the_operators_tenant(world: World) -> None:
    world.tenancy.open(OPERATOR)
    acme = world.tenancy.open_tenant("acme")
    with pytest.raises(Invalid, match="can only be made in tenant 'default'"):
        world.tenancy.create_key(acme.id, "sly", Scope.ADMIN)
    world.tenancy.create_key(world.tenant(), "second operator", Scope.ADMIN)


def test_a_rotated_key_stays_the_same_and_has_both_secrets_for_a_while(world: World) -> None:
    world.tenancy.open(OPERATOR)
    maker = Grant("key_1", world.tenant(), Scope.MANAGE)
    key, old = world.tenancy.create_key(maker.tenant_id, "app", Scope.INFER, networks=["10.0.0.1"])
    rotated, new = world.tenancy.rotate_key(maker, key.id, timedelta(hours=1))
    assert (rotated.id, rotated.networks) == (key.id, ("10.0.0.1/32",))
    assert world.grants(old) == world.grants(new) == Scope.INFER
    world.clock.advance(3600)
    assert (world.grants(old), world.grants(new)) == (None, Scope.INFER)
    _, newest = world.tenancy.rotate_key(maker, key.id, timedelta())
    assert (world.grants(new), world.grants(newest)) == (None, Scope.INFER)
    world.tenancy.revoke_key(maker.tenant_id, key.id)
    assert world.grants(newest) is None
    with pytest.raises(Conflict, match="not in force"):
        world.tenancy.rotate_key(maker, key.id, timedelta())
    with pytest.raises(Invalid, match="overlap"):
        world.tenancy.rotate_key(maker, key.id, timedelta(days=31))


def test_nobody_gets_a_secret_that_reaches_further_than_their_own(world: World) -> None:
    world.tenancy.open(OPERATOR)
    tenant = world.tenant()
    wide, _ = world.tenancy.create_key(tenant, "wide", Scope.INFER)
    maker = Grant("k", tenant, "infer keys:write", frozenset({"a", "b"}), ("10.0.0.0/8",))

    def make(**bounds: list[str] | None) -> ApiKey:
        given = {"deployments": None, "networks": None, **bounds}
        return world.tenancy.create_bounded_key(maker, "new", "infer", None, **given)[0]

    assert (make().deployments, make().networks) == (("a", "b"), ("10.0.0.0/8",))
    narrow = make(deployments=["b"], networks=["10.9.0.0/16", "10.0.0.7"])
    assert (narrow.deployments, narrow.networks) == (("b",), ("10.9.0.0/16", "10.0.0.7/32"))
    world.tenancy.rotate_key(maker, narrow.id, timedelta())
    for bounds in ({"deployments": ["c"]}, {"networks": ["11.0.0.0/8"]}, {"networks": ["::/0"]}):
        with pytest.raises(Forbidden):
            make(**bounds)
    with pytest.raises(Forbidden):
        world.tenancy.rotate_key(maker, wide.id, timedelta())
    with pytest.raises(Forbidden):
        world.tenancy.create_bounded_key(
            maker, "wider", "manage", None, deployments=None, networks=None
        )


@pytest.mark.parametrize(
    "bounds",
    [
        {"deployments": []},
        {"networks": []},
        {"deployments": ["No!"]},
        {"deployments": ["a"] * 101},
        {"networks": ["10.0.0.0/33"]},
        {"networks": ["10.0.0.1/8"]},
        {"networks": ["localhost"]},
    ],
)
def test_bounds_that_are_none_are_refused(world: World, bounds: dict[str, list[str]]) -> None:
    world.tenancy.open(OPERATOR)
    with pytest.raises(Invalid):
        world.tenancy.create_key(
            world.tenant(),
            "app",
            Scope.INFER,
            deployments=bounds.get("deployments"),
            networks=bounds.get("networks"),
        )
