from __future__ import annotations

import pytest
from msgspec.structs import replace

from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import PageRequest
from tests.conformance.samples import OURS, THEIRS, a_provider
from tests.conformance.stores import AnyStore


def test_a_provider_comes_back_as_it_was_put(store: AnyStore) -> None:
    ours = a_provider()
    with store.begin() as tx:
        tx.providers(OURS).put(ours)
    with store.read() as tx:
        assert tx.providers(OURS).get("openai") == ours
        assert tx.providers(OURS).find("openai") == ours
        assert tx.providers(THEIRS).find("openai") is None
        with pytest.raises(NotFound):
            tx.providers(THEIRS).get("openai")


def test_a_provider_is_replaced_and_deleted(store: AnyStore) -> None:
    ours = a_provider()
    with store.begin() as tx:
        tx.providers(OURS).put(ours)
        tx.providers(OURS).put(replace(ours, sealed=b""))
    with store.begin() as tx:
        assert tx.providers(OURS).get("openai").sealed == b""
        with pytest.raises(Conflict):
            tx.providers(OURS).put(a_provider())
    with store.begin() as tx:
        with pytest.raises(NotFound):
            tx.providers(THEIRS).delete("openai")
        tx.providers(OURS).delete("openai")
    with store.read() as tx:
        assert tx.providers(OURS).list(PageRequest()).items == []


def test_providers_come_in_pages_by_name(store: AnyStore) -> None:
    with store.begin() as tx:
        for name in ("b", "c", "a"):
            tx.providers(OURS).put(a_provider(name))
        tx.providers(THEIRS).put(a_provider("b"))
    with store.read() as tx:
        first = tx.providers(OURS).list(PageRequest(limit=2))
        assert [one.name for one in first.items] == ["a", "b"]
