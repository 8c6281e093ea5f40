"""Jobs: use cases. A job is checked before it is queued, so that it fails early or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from modelyard.core import ids
from modelyard.core.clock import Clock
from modelyard.core.errors import Invalid, NotFound
from modelyard.core.jobs import MAX_ATTEMPTS, MAX_PRIORITY, Job, JobEvent
from modelyard.core.names import check_name
from modelyard.core.pages import Page, PageRequest
from modelyard.core.ports import Store
from modelyard.registry.artifact import Format
from modelyard.registry.gate import MAX_GATES, Gate
from modelyard.registry.model import Reference
from modelyard.registry.service import resolve
from modelyard.registry.version import check_ready
from modelyard.training.combination import check_ensemble
from modelyard.training.dataset import DatasetVersion
from modelyard.training.evaluation.slices import check_slices
from modelyard.training.evaluation.threshold import check_threshold
from modelyard.training.evaluator import check_metric
from modelyard.training.ports import TrainingTransaction
from modelyard.training.problem import define, embeds
from modelyard.training.spec import AUTO, TaskKind, TrainSpec, check_needs
from modelyard.training.split import division_of
from modelyard.training.streaming import check_stream
from modelyard.training.tasks import TABLE_FILE
from modelyard.training.trainers.catalogue import ALGORITHMS, candidates
from modelyard.training.windows import problem_of

TRAIN: Final = "train"
MAX_EVENTS: Final = 1000
LEAST_MEMORY: Final = 512 << 20
"""Less does not hold the libraries."""
RESUMED_ATTEMPTS: Final = 10
"""Of what goes on where the attempt before was killed, and may run for days."""


class TrainOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a training job is to make, and from what: the part of its spec that is no task's.

    `embedder` is the model that texts are embedded by, for an algorithm that learns from that.
    The alias moves only if the version passes all `gates`. `max_seconds` and `max_memory_bytes`
    bound each attempt. Of a tenant's queued jobs those with the higher `priority` come first.
    """

    model: str
    dataset: str
    dataset_version: Annotated[int, Meta(ge=1, le=999_999_999)] | None = None
    alias: str | None = None
    gates: Annotated[tuple[str, ...], Meta(max_length=MAX_GATES)] = ()
    embedder: Annotated[str, Meta(max_length=200)] | None = None
    max_seconds: Annotated[float, Meta(gt=0, le=10_000_000)] | None = None
    max_memory_bytes: Annotated[int, Meta(ge=LEAST_MEMORY, le=1 << 50)] | None = None
    priority: Annotated[int, Meta(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 0


class JobBounds(msgspec.Struct, frozen=True):
    """What the server allows any job; None is no bound."""

    workers: int = 1
    seconds: float | None = None
    memory_bytes: int | None = None

    def check(self, order: TrainOrder, task: TrainSpec) -> None:
        """Raises Invalid when the job asks for more; the message names field and setting."""
        asked = (
            ("workers", task.workers, self.workers, "trial_workers"),
            ("max_seconds", order.max_seconds, self.seconds, "job_seconds"),
            ("max_memory_bytes", order.max_memory_bytes, self.memory_bytes, "task_memory_bytes"),
        )
        for name, value, most, setting in asked:
            if value is not None and most is not None and value > most:
                raise Invalid(
                    f"spec.{name} is {value}; this server allows at most {most} "
                    f"(setting '{setting}')"
                )


class JobService:
    """Submits, shows and cancels jobs."""

    def __init__(
        self,
        store: Store[TrainingTransaction],
        clock: Clock,
        bounds: JobBounds = JobBounds(),  # noqa: B008 - frozen
    ) -> None:
        self._store = store
        self._clock = clock
        self._bounds = bounds
        self._checks: Mapping[str, _Check] = {TRAIN: _check_train}

    def submit(self, tenant_id: str, kind: str, spec: Mapping[str, Any]) -> Job:
        """Queue a job. Its spec is kept with all defaults and the dataset's version filled in.

        Raises:
            Invalid: an unknown kind, or a field of the spec that is missing, unknown or wrong.
            NotFound: the spec names something that is not there.
        """
        check = self._checks.get(kind)
        if check is None:
            known = ", ".join(f"'{name}'" for name in sorted(self._checks))
            raise Invalid(f"job kind {kind[:40]!r} is unknown; there is {known}")
        with self._store.begin() as tx:
            checked = check(tx, tenant_id, spec, self._bounds)
            job = Job(
                id=ids.new_id(ids.JOB),
                tenant_id=tenant_id,
                kind=kind,
                spec=checked,
                created_at=self._clock.now(),
                priority=checked.get("priority", 0),
                max_attempts=RESUMED_ATTEMPTS if _resumes(checked) else MAX_ATTEMPTS,
            )
            tx.jobs(tenant_id).add(job)
            return job

    def get(self, tenant_id: str, job_id: str) -> Job:
        """Raises NotFound."""
        with self._store.read() as tx:
            return tx.jobs(tenant_id).get(job_id)

    def list(self, tenant_id: str, page: PageRequest) -> Page[Job]:
        """Newest first."""
        with self._store.read() as tx:
            return tx.jobs(tenant_id).list(page)

    def cancel(self, tenant_id: str, job_id: str) -> Job:
        """Cancel a queued job at once, a running one within seconds; others stay as they are.

        Raises:
            NotFound: the tenant has no such job.
        """
        with self._store.begin() as tx:
            return tx.jobs(tenant_id).request_cancel(job_id, self._clock.now())

    def events(
        self, tenant_id: str, job_id: str, after: int = 0, limit: int = 500
    ) -> Sequence[JobEvent]:
        """The job's story after event number `after`, in order.

        Raises:
            NotFound: the tenant has no such job.
            Invalid: `after` is negative or `limit` is not within 1..1000.
        """
        if after < 0 or not 1 <= limit <= MAX_EVENTS:
            raise Invalid(f"after must be 0 or more and limit between 1 and {MAX_EVENTS}")
        with self._store.read() as tx:
            jobs = tx.jobs(tenant_id)
            jobs.get(job_id)
            return jobs.events(job_id, after, limit)


def _resumes(spec: Mapping[str, Any]) -> bool:
    """Whether it is a tuning, or the training of a network."""
    algorithm = ALGORITHMS.get(spec["algorithm"])
    return bool(spec["trials"]) or (algorithm is not None and algorithm.resumes)


_Check = Callable[[TrainingTransaction, str, Mapping[str, Any], JobBounds], dict[str, Any]]


def read_train_spec(spec: Mapping[str, Any]) -> tuple[TrainOrder, TrainSpec]:
    """A training job's spec in its two parts.

    Raises:
        Invalid: a field is missing, unknown, of the wrong type or out of bounds.
    """
    ours = {field.name for field in msgspec.structs.fields(TrainOrder)}
    if "table" in spec:
        raise Invalid("spec: there is no field 'table'; name a dataset")
    try:
        order = msgspec.convert({k: v for k, v in spec.items() if k in ours}, TrainOrder)
        rest = {k: v for k, v in spec.items() if k not in ours}
        return order, msgspec.convert({**rest, "table": TABLE_FILE}, TrainSpec)
    except msgspec.ValidationError as error:
        raise Invalid(f"spec: {error}") from None


def _check_train(
    tx: TrainingTransaction, tenant_id: str, spec: Mapping[str, Any], bounds: JobBounds
) -> dict[str, Any]:
    order, task = read_train_spec(spec)
    bounds.check(order, task)
    check_needs(task)
    check_name("model", order.model)
    check_name("dataset", order.dataset)
    if order.alias is not None:
        check_name("alias", order.alias)
    elif order.gates:
        raise Invalid("spec.gates decide whether an alias moves: name the alias")
    gates = [Gate.parse(gate) for gate in order.gates]
    dataset = tx.datasets(tenant_id).version(order.dataset, order.dataset_version)
    kind = _check_fit(dataset, task)
    for gate in gates:
        check_metric(gate.metric or None, kind)
        # The alias that moves may be the model's first; any other would never object.
        if gate.rival not in ("", order.alias):
            _check_rival(tx, tenant_id, Reference(order.model, alias=gate.rival))
    order = msgspec.structs.replace(
        order, dataset_version=dataset.number, embedder=_embedder(tx, tenant_id, order, task)
    )
    kept = {**_plain(task), **_plain(order)}
    del kept["table"]
    return kept


def _check_rival(tx: TrainingTransaction, tenant_id: str, rival: Reference) -> None:
    try:
        resolve(tx.models(tenant_id), rival)
    except NotFound as error:
        raise Invalid(f"spec.gates: {error.message}, so there is no @{rival.alias}") from None


def _embedder(
    tx: TrainingTransaction, tenant_id: str, order: TrainOrder, task: TrainSpec
) -> str | None:
    """The embedder with its version, so that the job is the same whenever it runs."""
    if not embeds(task.algorithm):
        if order.embedder is not None:
            raise Invalid(f"spec.embedder: algorithm '{task.algorithm}' does not embed texts")
        return None
    if order.embedder is None:
        raise Invalid(
            f"algorithm '{task.algorithm}' reads texts by a registered sentence embedder: name it "
            "as spec.embedder, such as minilm@champion"
        )
    version = check_ready(resolve(tx.models(tenant_id), Reference.parse(order.embedder)))
    if not any(one.format is Format.EMBEDDER for one in version.artifacts):
        raise Invalid(f"spec.embedder: {order.embedder} is no sentence embedder")
    return str(Reference(version.model, version=version.number))


def _plain(part: msgspec.Struct) -> dict[str, Any]:
    """As it comes back from the database."""
    return cast(dict[str, Any], msgspec.json.decode(msgspec.json.encode(part)))


def _check_fit(dataset: DatasetVersion, task: TrainSpec) -> TaskKind:
    """What the task would refuse at its start, told before anybody waits for it; what is learned
    otherwise.
    """
    columns = dataset.inspection.columns
    define_it = problem_of if task.window else define
    problem = define_it(columns, dataset.inspection.rows, task)
    division_of(task, columns)
    if task.window and (task.preprocessing or task.selection):
        raise Invalid("spec.preprocessing and spec.selection are not for windows of time series")
    if not task.window:
        check_slices([column.name for column in columns], task.slices)
    check_threshold(task.threshold, problem, columns)
    check_ensemble(task, problem, columns)
    check_stream(task, problem, dataset.inspection.rows, len(columns))
    algorithms = candidates(task.algorithm, problem.task, images=problem.picture is not None)
    check_metric(task.metric, problem.task)
    if task.algorithm != AUTO:
        algorithms[0].check(task.parameters, problem.task)
        if task.trials:
            algorithms[0].axes(task.parameters)
    elif task.parameters:
        raise Invalid(
            "spec.parameters belong to one algorithm: name it in spec.algorithm, or leave them out"
        )
    return problem.task
