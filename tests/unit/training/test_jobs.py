from datetime import UTC, datetime
from typing import Any

import pytest

from modelyard.adapters.memory import MemoryStore
from modelyard.core.clock import ManualClock
from modelyard.core.errors import Invalid, NotFound
from modelyard.core.jobs import JobState
from modelyard.core.pages import PageRequest
from modelyard.core.tasks import Progress
from modelyard.tenancy.tenant import Tenant
from modelyard.training.dataset import (
    Column,
    ColumnType,
    FileFormat,
    Inspection,
    NewDatasetVersion,
)
from modelyard.training.jobs import JobBounds, JobService, read_train_spec

OURS, THEIRS = "tnt_ours", "tnt_theirs"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = (
    Column("age", ColumnType.INTEGER, missing=0, distinct=60),
    Column("income", ColumnType.NUMBER, missing=3, distinct=90),
    Column("churned", ColumnType.BOOLEAN, missing=0, distinct=2),
    Column("signed_up", ColumnType.DATETIME, missing=0, distinct=80),
)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    with store.begin() as tx:
        for tenant in (OURS, THEIRS):
            tx.tenants().add(Tenant(tenant, tenant, NOW))
        for digest in ("a" * 64, "b" * 64):
            inspection = Inspection(FileFormat.CSV, 100, COLUMNS, ())
            new = NewDatasetVersion("c.csv", 10, digest, digest, inspection)
            tx.datasets(OURS).add_version("customers", new, NOW)
    return store


@pytest.fixture
def jobs(store: MemoryStore) -> JobService:
    return JobService(store, ManualClock(NOW), JobBounds(seconds=60, memory_bytes=1 << 30))


def spec(**changes: Any) -> dict[str, Any]:
    return {"model": "churn", "dataset": "customers", "target": "churned", **changes}


def test_a_job_is_kept_with_everything_that_was_decided_for_it(jobs: JobService) -> None:
    job = jobs.submit(OURS, "train", spec(algorithm="svm", alias="champion"))
    assert job.state is JobState.QUEUED
    assert job.created_at == NOW
    assert job.spec == {
        "model": "churn",
        "dataset": "customers",
        "dataset_version": 2,
        "alias": "champion",
        "target": "churned",
        "algorithm": "svm",
        "task": None,
        "test_fraction": 0.2,
        "folds": 5,
        "seed": 0,
        "metric": None,
        "parameters": {},
        "include": None,
        "exclude": [],
        "tokens": "auto",
        "trials": 0,
        "tune_seconds": None,
        "time_column": None,
        "group_column": None,
        "image_size": None,
        "image_grey": None,
        "window": 0,
        "horizon": 1,
        "series_column": None,
        "ensemble": None,
        "ensemble_size": 3,
        "stream": False,
        "slices": [],
        "threshold": None,
        "workers": 1,
        "preprocessing": {},
        "selection": None,
    }
    assert jobs.get(OURS, job.id) == job
    assert jobs.list(OURS, PageRequest()).items == [job]
    # What is kept can be read again by the worker.
    order, task = read_train_spec(job.spec)
    assert (order.dataset_version, task.algorithm) == (2, "svm")


def test_a_tuning_may_be_killed_often(jobs: JobService) -> None:
    assert jobs.submit(OURS, "train", spec(trials=5)).max_attempts == 10
    assert jobs.submit(OURS, "train", spec()).max_attempts == 3


def test_an_older_version_of_the_dataset_can_be_named(jobs: JobService) -> None:
    assert jobs.submit(OURS, "train", spec(dataset_version=1)).spec["dataset_version"] == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": "churn"}, "there is no target column 'churn'; the columns are 'age'"),
        ({"target": "signed_up"}, "holds times"),
        ({"include": ["agee"]}, "no column 'agee'"),
        ({"exclude": ["age", "income", "signed_up"]}, "no column is left"),
        ({"model": "Churn!"}, "model name"),
        ({"alias": "Best One"}, "alias name"),
        ({"model": None}, r"spec: .* at `\$.model`"),
        ({"folds": 1}, r"at `\$.folds`"),
        ({"folds": "5"}, r"at `\$.folds`"),
        ({"test_fraction": 0.9}, r"at `\$.test_fraction`"),
        ({"dataset_version": 0}, r"at `\$.dataset_version`"),
        ({"epochs": 3}, "unknown field `epochs`"),
        ({"table": "/etc/passwd"}, "no field 'table'"),
        ({"algorithm": "magic"}, "no algorithm 'magic'"),
        ({"algorithm": "linear", "task": "classification"}, "does not do classification"),
        ({"metric": "rmse"}, "no metric 'rmse' for classification"),
        ({"algorithm": "svm", "parameters": {"depth": 3}}, "no parameter 'depth'"),
        ({"algorithm": "svm", "trials": -1}, r"at `\$.trials`"),
        ({"algorithm": "naive_bayes", "trials": 5, "parameters": {"var_smoothing": 0}}, "to tune"),
        ({"target": None}, "there is no target column; name it, or a task that has none"),
        ({"gates": ["accuracy >= 0.9"]}, "name the alias"),
        ({"workers": 2}, r"spec.workers is 2; this server allows at most 1 .*'trial_workers'"),
        ({"max_seconds": 90}, r"spec.max_seconds is 90.0; this server .* 60 .*'job_seconds'"),
        ({"max_memory_bytes": 1 << 40}, "this server allows at most 1073741824"),
        ({"max_memory_bytes": 1 << 20}, "max_memory_bytes"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"priority": 101}, "priority"),
        ({"gates": ["good"], "alias": "champion"}, "gate 'good' is not understood"),
        ({"parameters": {"depth": 3}}, "belong to one algorithm"),
        ({"algorithm": "svm", "ensemble": "voting"}, "'svm' stands alone"),
        ({"algorithm": "svm", "stream": True}, "100 rows of 4 columns, about 0 MiB .* stream: lin"),
        ({"algorithm": "ridge", "stream": True, "trials": 3}, "trials needs the whole table"),
        ({"tune_seconds": 60}, "spec.tune_seconds does nothing without spec.trials"),
        ({"ensemble_size": 5}, "spec.ensemble_size does nothing without spec.ensemble"),
        ({"horizon": 3}, "spec.horizon does nothing without spec.window"),
        ({"series_column": "age"}, "spec.series_column does nothing without spec.window"),
        ({"gates": ["acuracy > 0.9"], "alias": "champion"}, "no metric 'acuracy' .* are: accuracy"),
        (
            {"preprocessing": {"age": {"impute": "constant", "fill": 1e300}}},
            r"at `\$.preprocessing\[...\].fill`",
        ),
        ({"embedder": "minilm"}, "spec.embedder: algorithm 'auto' does not embed texts"),
    ],
)
def test_a_bad_spec_is_refused_before_it_is_queued(
    changes: dict[str, Any], said: str, jobs: JobService
) -> None:
    with pytest.raises(Invalid, match=said):
        jobs.submit(OURS, "train", spec(**changes))
    assert jobs.list(OURS, PageRequest()).items == []


def test_what_is_missing_is_named(jobs: JobService) -> None:
    with pytest.raises(Invalid, match="missing required field `dataset`"):
        jobs.submit(OURS, "train", {"model": "churn", "target": "churned"})
    with pytest.raises(Invalid, match="job kind 'tune' is unknown; there is 'train'"):
        jobs.submit(OURS, "tune", spec())
    with pytest.raises(NotFound, match="client"):
        jobs.submit(OURS, "train", spec(dataset="clients"))
    with pytest.raises(NotFound):
        jobs.submit(OURS, "train", spec(dataset_version=3))
    gates = ["not worse than @champoin"]
    with pytest.raises(Invalid, match=r"spec\.gates: .*there is no @champoin"):
        jobs.submit(OURS, "train", spec(alias="champion", gates=gates))
    assert jobs.submit(OURS, "train", spec(alias="champoin", gates=gates)).spec["gates"] == gates


def test_one_tenant_does_not_see_anothers(jobs: JobService) -> None:
    with pytest.raises(NotFound):
        jobs.submit(THEIRS, "train", spec())
    job = jobs.submit(OURS, "train", spec())
    for ask in (jobs.get, jobs.cancel, jobs.events):
        with pytest.raises(NotFound):
            ask(THEIRS, job.id)
    assert jobs.list(THEIRS, PageRequest()).items == []
    assert jobs.get(OURS, job.id).state is JobState.QUEUED


def test_a_queued_job_is_cancelled_at_once(jobs: JobService) -> None:
    job = jobs.submit(OURS, "train", spec())
    assert jobs.cancel(OURS, job.id).state is JobState.CANCELLED
    assert jobs.cancel(OURS, job.id).state is JobState.CANCELLED


def test_the_story_is_told_in_order_and_in_parts(store: MemoryStore, jobs: JobService) -> None:
    job = jobs.submit(OURS, "train", spec())
    with store.begin() as tx:
        claimed = tx.queue().claim("wrk_1", NOW)
        assert claimed is not None
        lines = [Progress(f"line {n}") for n in range(5)]
        tx.queue().record(job.id, claimed.fence, NOW, lines)
    assert [e.seq for e in jobs.events(OURS, job.id)] == [1, 2, 3, 4, 5]
    assert [e.message for e in jobs.events(OURS, job.id, after=3, limit=1)] == ["line 3"]
    for after, limit in ((-1, 1), (0, 0), (0, 1001)):
        with pytest.raises(Invalid, match="limit between 1 and 1000"):
            jobs.events(OURS, job.id, after, limit)
