"""Each algorithm of the catalogue, from real data to answers: by one server, as consumers ask it.

An algorithm that is added is tested here without further ado; what it reads and does decides the
data (`bench/samples.py`), and where there is none for that yet, its test fails and says so.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from bench.samples import Sample, bundled, quick_parameters, sample_for
from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import Algorithm, Reads
from modelyard.training.trainers.catalogue import ALGORITHMS
from modelyard_client import Client
from tests import real_models
from tests.e2e.calls import Caller
from tests.e2e.conftest import start_server, stop_server

ROWS = 32
EMBEDDER = "minilm"
AVAILABLE = [algorithm for algorithm in ALGORITHMS.values() if algorithm.available]
LEAST = {TaskKind.CLASSIFICATION: 0.75, TaskKind.REGRESSION: 0.0, TaskKind.TRANSLATION: 0.75}
"""Accuracy, R2, and the share of texts that are right, that every algorithm reaches on rows of the
data: none of them guesses.
"""


NEEDS_MORE = {"transformer"}
"""What learns nothing from a few hundred rows is asked, but not judged."""


class Yard(NamedTuple):
    client: Client
    url: str
    key: str
    jobs: Mapping[str, str]


def task_of(algorithm: Algorithm) -> TaskKind:
    """The one that it is tried for."""
    return sorted(algorithm.tasks)[0]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    folder = tmp_path_factory.mktemp("algorithms")
    server = start_server(folder / "home", "--workers", "1", MODELYARD_JOB_WORKERS="2")
    try:
        with Client(server.url, server.admin_key) as client:
            client.models.import_model(EMBEDDER, real_models.embedder())
            jobs = {one.name: job for one in AVAILABLE if (job := _submit(client, one, folder))}
            yield Yard(client, server.url, client.keys.create("app").key, jobs)
    finally:
        assert stop_server(server.process) == 0


def _submit(client: Client, algorithm: Algorithm, folder: Path) -> str | None:
    """Queue its training; None where there is no data for it, which its own test then tells."""
    task = task_of(algorithm)
    try:
        sample = sample_for(algorithm, task)
    except LookupError:
        return None
    if not any(folder.glob(f"{sample.name}.*")):
        client.datasets.add(sample.name, sample.write(folder))
    job = client.jobs.submit_train(
        algorithm.name,
        dataset=sample.name,
        target=sample.target,
        task=str(task),
        algorithm=algorithm.name,
        parameters=quick_parameters(algorithm),
        embedder=EMBEDDER if algorithm.reads is Reads.SENTENCE else None,
    )
    return job.id


# All jobs are queued at once, and give way to whatever else the machine does.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("algorithm", AVAILABLE, ids=lambda algorithm: algorithm.name)
def test_an_algorithm_is_trained_served_and_asked(yard: Yard, algorithm: Algorithm) -> None:
    sample, name = sample_for(algorithm, task_of(algorithm)), algorithm.name
    ended = yard.client.jobs.wait(yard.jobs[name], timeout=500)
    assert ended.state == "succeeded", ended.failure
    version = yard.client.models.version(name, 1)
    assert version.card.algorithm == name
    assert version.parity is not None
    assert version.parity.agreed, version.parity.reason
    forms = {artifact.format for artifact in version.artifacts}
    assert forms & {"onnx", "image_classifier", "text_classifier"}
    yard.client.deployments.put(name, f"{name}:1")
    yard.client.deployments.wait_ready(name)
    rows = sample.table.sample(ROWS, seed=3)
    with Caller(yard.url, yard.key) as calls:
        by_v1 = _ask_v1(calls, name, rows, sample)
        by_v2 = _ask_v2(calls, name, rows, sample, version.signature)
    assert by_v1 == by_v2
    assert len(by_v1) == ROWS
    if name not in NEEDS_MORE:
        _check(task_of(algorithm), by_v1, rows, sample)


@pytest.mark.timeout(600)
def test_an_ensemble_is_trained_served_and_asked(yard: Yard, tmp_path: Path) -> None:
    sample = bundled("iris", "species")
    yard.client.datasets.add(sample.name, sample.write(tmp_path))
    job = yard.client.jobs.submit_train(
        "together",
        dataset=sample.name,
        target=sample.target,
        metric="log_loss",
        folds=2,
        ensemble="voting",
    )
    ended = yard.client.jobs.wait(job.id, timeout=500)
    assert ended.state == "succeeded", ended.failure
    version = yard.client.models.version("together", 1)
    assert version.card.algorithm == "voting"
    assert version.card.ensemble is not None
    assert len(version.card.ensemble.members) == 3
    assert version.parity is not None
    assert version.parity.agreed, version.parity.reason
    yard.client.deployments.put("together", "together:1")
    yard.client.deployments.wait_ready("together")
    rows = sample.table.sample(ROWS, seed=3)
    with Caller(yard.url, yard.key) as calls:
        by_v1 = _ask_v1(calls, "together", rows, sample)
        assert by_v1 == _ask_v2(calls, "together", rows, sample, version.signature)
    _check(TaskKind.CLASSIFICATION, by_v1, rows, sample)


def _ask_v1(calls: Caller, name: str, rows: pl.DataFrame, sample: Sample) -> list[Any]:
    """The answers to raw records."""
    records = rows.drop(sample.target or ()).to_dicts()
    if sample.pictures:
        records = [{"image": {"b64": _base64(sample, one["image"])}} for one in records]
    answer = calls("POST", f"/v1/models/{name}:predict", {"instances": records})
    assert answer.status == 200, answer.body
    told: list[Any] = answer.json()["predictions"]
    return [one[next(iter(one))] if isinstance(one, dict) else one for one in told]


def _ask_v2(
    calls: Caller, name: str, rows: pl.DataFrame, sample: Sample, signature: Any
) -> list[Any]:
    """The same as tensors."""
    inputs: dict[str, list[Any]] = {}
    for spec in signature.inputs:
        if spec.columns:
            inputs[spec.name] = rows.select(spec.columns).to_numpy().tolist()
        elif sample.pictures:
            inputs[spec.name] = [_base64(sample, name) for name in rows.get_column("image")]
        else:
            inputs[spec.name] = rows.get_column(spec.name).to_list()
    answer = calls.infer(name, **inputs)
    assert answer.status == 200, answer.body
    first: list[Any] = answer.json()["outputs"][0]["data"]
    return first


def _base64(sample: Sample, name: str) -> str:
    return b64encode(sample.pictures[name]).decode()


def _check(task: TaskKind, answers: list[Any], rows: pl.DataFrame, sample: Sample) -> None:
    if task is TaskKind.CLUSTERING:
        assert len(set(answers)) > 1
    elif task is TaskKind.ANOMALY_DETECTION:
        assert set(answers) <= {-1, 1}
    elif sample.target is not None:
        truth = rows.get_column(sample.target).to_numpy()
        told = np.array(answers)
        if task in (TaskKind.CLASSIFICATION, TaskKind.TRANSLATION):
            assert np.mean(told == truth) >= LEAST[task]
        else:
            spread = np.sum((truth - truth.mean()) ** 2)
            assert 1 - np.sum((told - truth) ** 2) / spread >= LEAST[task]
