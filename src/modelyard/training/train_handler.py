"""Training jobs: from a dataset to a version of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

import modelyard
from modelyard.core.clock import Clock
from modelyard.core.errors import NotFound
from modelyard.core.jobs import Job
from modelyard.core.ports import Blobs, Store
from modelyard.core.tasks import SPEC_FILE, Limits
from modelyard.registry.artifact import Artifact, Format
from modelyard.registry.card import Card
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.gate import Gate
from modelyard.registry.model import Reference
from modelyard.registry.ports import ModelRepository
from modelyard.registry.service import RegistryService, resolve
from modelyard.registry.version import TRAINING, Lineage, ModelVersion, NewVersion
from modelyard.training.attempt import Completion
from modelyard.training.dataset import DatasetVersion
from modelyard.training.embedding import EMBEDDER_FILE
from modelyard.training.evaluation.rivals import Rival, write_rivals
from modelyard.training.jobs import TrainOrder, read_train_spec
from modelyard.training.outcomes import left_file, read_result
from modelyard.training.ports import TrainingTransaction
from modelyard.training.spec import TrainSpec
from modelyard.training.trained import Trained
from modelyard.training.trial import past_trials, write_trials

CHAMPION: Final = "champion"
"""The alias that a version is compared with when no other is named."""
_PART: Final = 500
"""Events that are read at a time."""


class TrainHandler:
    """Hands the table to the task `train`, and what that makes to the registry."""

    task = "train"

    def __init__(
        self,
        store: Store[TrainingTransaction],
        blobs: Blobs,
        registry: RegistryService,
        clock: Clock,
        seconds: float | None = None,
    ) -> None:
        """`seconds` is the longest that an attempt may take whose job does not say."""
        self._store = store
        self._blobs = blobs
        self._registry = registry
        self._clock = clock
        self._most_seconds = seconds

    def prepare(self, job: Job, scratch: Path) -> Limits:
        """Raises Invalid or NotFound when the job's spec does not fit what is there (any more)."""
        order, spec = read_train_spec(job.spec)
        dataset = self._dataset(job, order)
        self._blobs.fetch(dataset.table, scratch / spec.table)
        if order.embedder is not None:
            self._fetch_embedder(job, order.embedder, scratch)
        write_rivals(self._rivals(job, order, dataset, scratch), scratch)
        (scratch / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
        if spec.trials and job.attempt > 1:
            write_trials(past_trials(self._story(job)), scratch)
        return Limits(
            order.max_memory_bytes, order.max_seconds or self._most_seconds, _processes(spec)
        )

    def _fetch_embedder(self, job: Job, reference: str, scratch: Path) -> None:
        with self._store.read() as tx:
            version = resolve(tx.models(job.tenant_id), Reference.parse(reference))
        archive = next(one for one in version.artifacts if one.format is Format.EMBEDDER)
        self._blobs.fetch(archive.digest, scratch / EMBEDDER_FILE)

    def _rivals(
        self, job: Job, order: TrainOrder, dataset: DatasetVersion, scratch: Path
    ) -> tuple[Rival, ...]:
        """What the aliases that matter point at, with the files of the form that is served."""
        gates = map(Gate.parse, order.gates)
        names = dict.fromkeys([*(gate.rival for gate in gates), order.alias or CHAMPION])
        rivals = []
        for place, alias in enumerate(filter(None, names)):
            with self._store.read() as tx:
                version = _version_at(tx.models(job.tenant_id), order.model, alias)
            if version is not None:
                files = self._fetch_graph(version, scratch, f"rival{place}")
                rivals.append(_rival(alias, version, dataset, files))
        return tuple(rivals)

    def _fetch_graph(self, version: ModelVersion, scratch: Path, name: str) -> dict[Format, str]:
        """The files of the graph that is served, if it is one; by what they are."""
        served = {one.format: one for one in version.served}
        if Format.ONNX not in served:
            return {}
        files: dict[Format, str] = {}
        for format_ in (Format.ONNX, Format.FEATURES):
            if format_ in served:
                files[format_] = f"{name}.{format_}"
                self._blobs.fetch(served[format_].digest, scratch / files[format_])
        return files

    def _story(self, job: Job) -> Iterator[Mapping[str, Any]]:
        """The data of what earlier attempts have told: the trials of a tuning are among it."""
        after = 0
        with self._store.read() as tx:
            while events := tx.jobs(job.tenant_id).events(job.id, after, _PART):
                yield from (event.data for event in events)
                after = events[-1].seq

    def complete(self, job: Job, scratch: Path) -> Completion:
        """Store the model's files; the completion registers the version and moves the alias."""
        order, _ = read_train_spec(job.spec)
        dataset = self._dataset(job, order)
        trained = read_result(scratch, Trained)
        artifacts = []
        for produced in trained.artifacts:
            path = left_file(scratch, produced.name)
            size = path.stat().st_size
            artifacts.append(Artifact(produced.name, produced.format, self._blobs.put(path), size))
        new = NewVersion(
            signature=trained.signature,
            artifacts=tuple(artifacts),
            lineage=_lineage(job, order, dataset, trained),
            card=trained.card,
            parity=trained.parity,
            profile=trained.profile,
        )

        def complete(tx: TrainingTransaction) -> dict[str, Any]:
            return self._register(tx, job, order, new, trained.evaluation)

        return complete

    def _dataset(self, job: Job, order: TrainOrder) -> DatasetVersion:
        with self._store.read() as tx:
            return tx.datasets(job.tenant_id).version(order.dataset, order.dataset_version)

    def _register(
        self,
        tx: TrainingTransaction,
        job: Job,
        order: TrainOrder,
        new: NewVersion,
        evaluation: Evaluation,
    ) -> dict[str, Any]:
        models = tx.models(job.tenant_id)
        version = models.version_of_job(job.id)
        if version is None:
            version = self._registry.register_in(tx, job.tenant_id, order.model, new)
            models.add_evaluation(version.id, evaluation)
        objections = _objections(models, order, version.card, evaluation)
        if order.alias is not None and not objections:
            models.set_alias(order.model, order.alias, version.number, self._clock.now())
            tx.bump()
        return {
            "model": version.model,
            "version": version.number,
            "algorithm": version.card.algorithm,
            "metrics": version.card.metrics,
            "objections": objections,
        }


def _processes(spec: TrainSpec) -> int | None:
    """How many a training is at once: one for each trial under way, beside its own."""
    return spec.workers + 1 if spec.trials and spec.workers > 1 else None


def _objections(
    models: ModelRepository, order: TrainOrder, card: Card, evaluation: Evaluation
) -> list[str]:
    """What keeps the alias from moving: the gates that the version does not pass, and why."""
    found = []
    for gate in map(Gate.parse, order.gates):
        rival = _version_at(models, order.model, gate.rival)
        # The alias may have moved since the two were compared.
        compared = next(
            (
                one
                for one in evaluation.comparisons
                if rival is not None and (one.alias, one.version) == (gate.rival, rival.number)
            ),
            None,
        )
        reason = gate.objection(card, rival.card if rival else None, compared)
        if reason:
            found.append(f"{gate.text}: {reason}")
    return found


def _version_at(models: ModelRepository, model: str, alias: str) -> ModelVersion | None:
    """The version that the alias points at, if it points at one."""
    try:
        return models.version(model, models.alias(model, alias).version) if alias else None
    except NotFound:
        return None


def _rival(
    alias: str, version: ModelVersion, dataset: DatasetVersion, files: dict[Format, str]
) -> Rival:
    card = version.card
    same_table = version.lineage.dataset_digest == dataset.digest
    return Rival(
        alias=alias,
        version=version.number,
        task=card.task,
        target=card.target,
        signature=version.signature,
        graph=files.get(Format.ONNX, ""),
        features=files.get(Format.FEATURES, ""),
        split=card.split if same_table else None,
        reason="" if files else "it is not served as a graph",
    )


def _lineage(job: Job, order: TrainOrder, dataset: DatasetVersion, trained: Trained) -> Lineage:
    embedder = {} if order.embedder is None else {"embedder": order.embedder}
    return Lineage(
        source=TRAINING,
        code_version=modelyard.__version__,
        dataset=dataset.dataset,
        dataset_version=dataset.number,
        dataset_digest=dataset.digest,
        job_id=job.id,
        seed=trained.seed,
        parameters={**trained.parameters, **embedder},
        libraries=trained.libraries,
    )
