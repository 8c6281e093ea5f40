from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from modelyard.core.errors import NotFound
from modelyard.core.pages import PageRequest
from modelyard.core.uploads import Upload
from modelyard.training.dataset import ColumnType, DatasetVersion
from modelyard.training.profile import ColumnProfile, DataProfile
from tests.conformance.samples import OURS, START, THEIRS, a_dataset, digest
from tests.conformance.stores import AnyStore


def add(store: AnyStore, content: str, tenant_id: str = OURS) -> DatasetVersion:
    with store.begin() as tx:
        return tx.datasets(tenant_id).add_version("churn", a_dataset(content), START)


def test_a_dataset_comes_back_as_it_was_added(store: AnyStore) -> None:
    added = add(store, "one")
    new = a_dataset("one")
    assert (added.dataset, added.number, added.created_at) == ("churn", 1, START)
    assert (added.inspection, added.table) == (new.inspection, new.table)
    with store.read() as tx:
        assert tx.datasets(OURS).version("churn") == added
        assert tx.datasets(OURS).version("churn", 1) == added


def test_the_newest_versions_bytes_make_no_new_version(store: AnyStore) -> None:
    first = add(store, "one")
    assert add(store, "one") == first
    assert add(store, "two").number == 2
    assert add(store, "one").number == 3
    with store.read() as tx:
        assert tx.datasets(OURS).get("churn").latest == 3
        versions = tx.datasets(OURS).versions("churn", PageRequest(2))
        assert [version.number for version in versions.items] == [3, 2]
        rest = tx.datasets(OURS).versions("churn", PageRequest.parse(2, versions.next_cursor))
        assert [version.number for version in rest.items] == [1]


def test_versions_added_at_the_same_time_get_numbers_of_their_own(store: AnyStore) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda n: add(store, str(n)).number, range(16)))
    assert sorted(made) == list(range(1, 17))


def test_another_tenants_dataset_is_not_there(store: AnyStore) -> None:
    add(store, "one", THEIRS)
    with store.read() as tx:
        assert tx.datasets(OURS).list(PageRequest()).items == []
        for ask in (
            lambda: tx.datasets(OURS).get("churn"),
            lambda: tx.datasets(OURS).version("churn"),
            lambda: tx.datasets(OURS).versions("churn", PageRequest()),
        ):
            with pytest.raises(NotFound, match="no dataset 'churn'"):
                ask()
        with pytest.raises(NotFound, match="no version 99"):
            tx.datasets(THEIRS).version("churn", 99)
    assert add(store, "one").number == 1


def test_datasets_are_listed_by_name(store: AnyStore) -> None:
    with store.begin() as tx:
        for name in ("b", "c", "a"):
            tx.datasets(OURS).add_version(name, a_dataset(), START)
    with store.read() as tx:
        first = tx.datasets(OURS).list(PageRequest(2))
        second = tx.datasets(OURS).list(PageRequest.parse(2, first.next_cursor))
    assert [dataset.name for dataset in [*first.items, *second.items]] == ["a", "b", "c"]


def test_an_upload_is_kept_once_and_belongs_to_its_tenant(store: AnyStore) -> None:
    upload = Upload(digest("file"), 5_000_000_000, START)
    with store.begin() as tx:
        tx.uploads(OURS).add(upload)
        tx.uploads(OURS).add(Upload(upload.digest, upload.size, START + timedelta(days=1)))
    with store.read() as tx:
        assert tx.uploads(OURS).get(upload.digest) == upload
        with pytest.raises(NotFound):
            tx.uploads(THEIRS).get(upload.digest)


def test_a_profile_is_kept_once_and_belongs_to_its_tenant(store: AnyStore) -> None:
    with store.begin() as tx:
        version = tx.datasets(OURS).add_version("customers", a_dataset(), START)
        assert tx.datasets(OURS).profile(version.id) is None
        first = DataProfile(10, (ColumnProfile("x", ColumnType.INTEGER, 0, 3, {"0.5": 2.0}),), 1)
        tx.datasets(OURS).add_profile(version.id, first)
        tx.datasets(OURS).add_profile(version.id, DataProfile(11, ()))
    with store.read() as tx:
        assert tx.datasets(OURS).profile(version.id) == first
        assert tx.datasets(THEIRS).profile(version.id) is None
