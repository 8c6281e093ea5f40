from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import PageRequest
from modelyard.tenancy.tenant import Tenant
from tests.conformance.samples import OURS, START, THEIRS, a_key, an_event
from tests.conformance.stores import AnyStore


def test_a_tenants_name_is_taken_once(store: AnyStore) -> None:
    with store.begin() as tx, pytest.raises(Conflict, match="ours"):
        tx.tenants().add(Tenant("tnt_third", "ours", START))
    with store.read() as tx:
        assert tx.tenants().named("ours") == Tenant(OURS, "ours", START)
        with pytest.raises(NotFound):
            tx.tenants().named("nobody")


def test_a_key_comes_back_as_it_was_added(store: AnyStore) -> None:
    key = replace(
        a_key(expires_at=START + timedelta(microseconds=1)),
        deployments=("churn",),
        networks=("10.0.0.0/8", "::1/128"),
        former_hash=b"old",
        former_until=START,
    )
    with store.begin() as tx:
        tx.keys(OURS).add(key)
    with store.read() as tx:
        assert tx.keys(OURS).get(key.id) == key


def test_no_two_keys_have_one_hash(store: AnyStore) -> None:
    key = a_key()
    with store.begin() as tx:
        tx.keys(OURS).add(key)
    with store.begin() as tx, pytest.raises(Conflict):
        tx.keys(THEIRS).add(replace(a_key(THEIRS), hash=key.hash))


def test_another_tenants_key_is_not_there(store: AnyStore) -> None:
    key = a_key(THEIRS)
    with store.begin() as tx:
        tx.keys(THEIRS).add(key)
    with store.begin() as tx:
        assert tx.keys(OURS).list(PageRequest()).items == []
        with pytest.raises(NotFound):
            tx.keys(OURS).get(key.id)
        with pytest.raises(NotFound):
            tx.keys(OURS).revoke(key.id, START)
    with store.read() as tx:
        assert tx.keys(THEIRS).get(key.id).revoked_at is None


def test_a_key_is_revoked_once(store: AnyStore) -> None:
    key = a_key()
    with store.begin() as tx:
        tx.keys(OURS).add(key)
        first = tx.keys(OURS).revoke(key.id, START)
        again = tx.keys(OURS).revoke(key.id, START + timedelta(hours=1))
    assert first == again == replace(key, revoked_at=START)


def test_pages_hold_each_key_once_while_keys_are_added(store: AnyStore) -> None:
    keys = [a_key(name=str(number)) for number in range(5)]
    with store.begin() as tx:
        for key in keys:
            tx.keys(OURS).add(key)
    with store.read() as tx:
        first = tx.keys(OURS).list(PageRequest(2))
    with store.begin() as tx:
        tx.keys(OURS).add(a_key(name="newer"))
    with store.read() as tx:
        second = tx.keys(OURS).list(PageRequest.parse(2, first.next_cursor))
        third = tx.keys(OURS).list(PageRequest.parse(2, second.next_cursor))
    assert [*first.items, *second.items, *third.items] == keys[::-1]
    assert third.next_cursor is None


def test_a_keys_secret_is_replaced(store: AnyStore) -> None:
    key = a_key()
    rotated = replace(key, hash=b"new", hint="my_new", former_hash=key.hash, former_until=START)
    with store.begin() as tx:
        tx.keys(OURS).add(key)
        with pytest.raises(NotFound):
            tx.keys(THEIRS).rotate(rotated)
        tx.keys(OURS).rotate(rotated)
    with store.read() as tx:
        assert tx.keys(OURS).get(key.id) == rotated


def test_the_ledger_tells_when_a_key_was_last_used(store: AnyStore) -> None:
    key, idle = a_key(), a_key()
    with store.begin() as tx:
        tx.keys(OURS).add(key)
        tx.keys(OURS).add(idle)
        tx.ledger().append("jrn_1", 1, [an_event(9, key_id=key.id), an_event(5, key_id=key.id)])
        tx.ledger().append("jrn_1", 2, [an_event(7, key_id=key.id), an_event(8, key_id="key_x")])
    with store.read() as tx:
        assert tx.keys(OURS).get(key.id).last_used_at == START + timedelta(seconds=9)
        assert tx.keys(OURS).get(idle.id).last_used_at is None


def test_tenants_are_listed_oldest_first(store: AnyStore) -> None:
    with store.read() as tx:
        tenants = tx.tenants()
        assert [tenant.id for tenant in tenants.list(PageRequest()).items] == [OURS, THEIRS]
        assert sorted(tenants.ids()) == [OURS, THEIRS]
        assert tenants.get(THEIRS).name == "theirs"
        with pytest.raises(NotFound):
            tenants.get("tnt_none")
