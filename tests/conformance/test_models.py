from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from modelyard.core.errors import Conflict, Invalid, NotFound
from modelyard.core.pages import PageRequest
from modelyard.registry.evaluation import ClassScore, Evaluation, Interval, Slice
from modelyard.registry.model import Model, Reference
from modelyard.registry.parity import Parity
from modelyard.registry.service import resolve
from modelyard.registry.version import ModelVersion, VersionState
from tests.conformance.samples import OURS, START, THEIRS, a_failed_version, a_version
from tests.conformance.stores import AnyStore


def add_version(store: AnyStore, name: str = "churn", tenant_id: str = OURS) -> ModelVersion:
    with store.begin() as tx:
        tx.models(tenant_id).ensure(name, START)
        return tx.models(tenant_id).add_version(name, a_version(), START)


def test_ensuring_a_model_twice_makes_one(store: AnyStore) -> None:
    with store.begin() as tx:
        first = tx.models(OURS).ensure("churn", START)
        again = tx.models(OURS).ensure("churn", START + timedelta(days=1))
    assert first == again == Model(first.id, "churn", START)


def test_a_version_comes_back_as_it_was_added(store: AnyStore) -> None:
    new = a_version("job_1", parity=Parity(agreed=True, rows=10, largest_difference=1e-7))
    with store.begin() as tx:
        tx.models(OURS).ensure("churn", START)
        added = tx.models(OURS).add_version("churn", new, START)
    assert (added.model, added.number, added.created_at) == ("churn", 1, START)
    assert [getattr(added, name) for name in new.__struct_fields__] == [
        getattr(new, name) for name in new.__struct_fields__
    ]
    with store.read() as tx:
        assert tx.models(OURS).version("churn", 1) == added
        assert tx.models(OURS).version_of_job("job_1") == added
        assert tx.models(OURS).version_of_job("job_2") is None
        assert tx.models(OURS).get("churn").latest == 1


def test_a_job_makes_one_version(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.models(OURS).ensure("churn", START)
        tx.models(OURS).add_version("churn", a_version("job_1"), START)
    with pytest.raises(Conflict, match="job_1"), store.begin() as tx:
        tx.models(OURS).add_version("churn", a_version("job_1"), START)
    with store.read() as tx:
        assert tx.models(OURS).get("churn").latest == 1


def test_versions_made_at_the_same_time_get_numbers_of_their_own(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.models(OURS).ensure("churn", START)
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: add_version(store).number, range(24)))
    assert sorted(made) == list(range(1, 25))


def test_a_failed_version_takes_a_number_and_is_not_the_latest(store: AnyStore) -> None:
    add_version(store)
    with store.begin() as tx:
        failed = tx.models(OURS).add_version("churn", a_failed_version(), START)
    assert (failed.number, failed.state, failed.reason) == (
        2,
        VersionState.FAILED,
        "the file is cut off",
    )
    with store.read() as tx:
        model = tx.models(OURS).get("churn")
        assert (model.latest, model.versions) == (1, 2)
        assert resolve(tx.models(OURS), Reference("churn")).number == 1
    assert add_version(store).number == 3
    with store.read() as tx:
        assert tx.models(OURS).get("churn").latest == 3


def test_what_is_missing_is_named(store: AnyStore) -> None:
    add_version(store)
    with store.begin() as tx:
        models = tx.models(OURS)
        with pytest.raises(NotFound, match="no model 'fraud'"):
            models.version("fraud", 1)
        for number in (2, 10**9, 10**30, -1):
            with pytest.raises(NotFound, match=f"model 'churn' has no version {number}"):
                models.version("churn", number)
        with pytest.raises(NotFound, match="no model 'fraud'"):
            models.versions("fraud", PageRequest())
        with pytest.raises(NotFound, match="no model 'fraud'"):
            models.aliases("fraud")
        with pytest.raises(NotFound, match="no model 'fraud'"):
            models.add_version("fraud", a_version(), START)
        with pytest.raises(NotFound, match="no alias 'champion'"):
            models.alias("churn", "champion")
        with pytest.raises(NotFound, match="no alias 'champion'"):
            models.drop_alias("churn", "champion")
        with pytest.raises(NotFound, match="no version 2"):
            models.set_alias("churn", "champion", 2, START)


def test_an_alias_moves(store: AnyStore) -> None:
    add_version(store)
    add_version(store)
    later = START + timedelta(days=1)
    with store.begin() as tx:
        tx.models(OURS).set_alias("churn", "champion", 1, START)
        tx.models(OURS).set_alias("churn", "baseline", 1, START)
    with store.begin() as tx:
        moved = tx.models(OURS).set_alias("churn", "champion", 2, later)
    assert (moved.name, moved.version, moved.updated_at) == ("champion", 2, later)
    with store.begin() as tx:
        assert tx.models(OURS).alias("churn", "champion") == moved
        names = [alias.name for alias in tx.models(OURS).aliases("churn")]
        assert names == ["baseline", "champion"]
        tx.models(OURS).drop_alias("churn", "champion")
        assert len(tx.models(OURS).aliases("churn")) == 1


def test_another_tenants_models_are_not_there(store: AnyStore) -> None:
    version = add_version(store, tenant_id=THEIRS)
    with store.begin() as tx:
        tx.models(THEIRS).set_alias("churn", "champion", 1, START)
    with store.begin() as tx:
        models = tx.models(OURS)
        assert models.list(PageRequest()).items == []
        for ask in (
            lambda: models.get("churn"),
            lambda: models.version("churn", version.number),
            lambda: models.alias("churn", "champion"),
            lambda: models.set_alias("churn", "champion", 1, START),
            lambda: models.add_version("churn", a_version(), START),
        ):
            with pytest.raises(NotFound, match="no model 'churn'"):
                ask()


def test_two_tenants_may_use_one_name(store: AnyStore) -> None:
    assert add_version(store).number == add_version(store, tenant_id=THEIRS).number == 1
    with store.read() as tx:
        assert tx.models(OURS).get("churn").id != tx.models(THEIRS).get("churn").id


def test_another_tenants_job_is_not_ours(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.models(THEIRS).ensure("churn", START)
        tx.models(THEIRS).add_version("churn", a_version("job_1"), START)
    with store.read() as tx:
        assert tx.models(OURS).version_of_job("job_1") is None


def test_models_are_listed_byte_by_byte(store: AnyStore) -> None:
    names = ["a-c", "a.b", "a_a", "ab", "b", "a0"]
    with store.begin() as tx:
        for name in names:
            tx.models(OURS).ensure(name, START)
    listed = []
    cursor = None
    with store.read() as tx:
        for _ in range(3):
            page = tx.models(OURS).list(PageRequest.parse(2, cursor))
            listed += [model.name for model in page.items]
            cursor = page.next_cursor
    assert listed == sorted(names)
    assert cursor is None


def test_versions_are_listed_newest_first_while_versions_are_added(store: AnyStore) -> None:
    for _ in range(11):
        add_version(store)
    with store.read() as tx:
        first = tx.models(OURS).versions("churn", PageRequest(3))
    add_version(store)
    with store.read() as tx:
        rest = tx.models(OURS).versions("churn", PageRequest.parse(50, first.next_cursor))
        with pytest.raises(Invalid, match="cursor"):
            tx.models(OURS).versions("churn", PageRequest(3, "churn"))
    numbers = [version.number for version in [*first.items, *rest.items]]
    assert numbers == list(range(11, 0, -1))


def test_an_evaluation_is_kept_apart_from_its_version_and_belongs_to_its_tenant(
    store: AnyStore,
) -> None:
    version = add_version(store)
    theirs = add_version(store, tenant_id=THEIRS)
    evaluation = Evaluation(
        classes=(ClassScore("yes", 0.5, 0.25, 1 / 3, 4),),
        slices=(Slice("plan", "pro", 2, {"accuracy": 0.5}, Interval(0.0, 1.0)),),
    )
    with store.begin() as tx:
        tx.models(OURS).add_evaluation(version.id, evaluation)
    with store.read() as tx:
        assert tx.models(OURS).evaluation(version.id) == evaluation
        assert tx.models(OURS).evaluation(theirs.id) is None
        assert tx.models(THEIRS).evaluation(version.id) is None


def test_what_a_model_is_for_is_the_models(store: AnyStore) -> None:
    add_version(store)
    add_version(store, tenant_id=THEIRS)
    with store.begin() as tx:
        assert tx.models(OURS).set_intended_use("churn", "orders").intended_use == "orders"
        with pytest.raises(NotFound):
            tx.models(OURS).set_intended_use("nothing", "orders")
    with store.read() as tx:
        assert tx.models(OURS).get("churn").intended_use == "orders"
        assert tx.models(THEIRS).get("churn").intended_use == ""
