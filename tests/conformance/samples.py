"""Things to put into a store."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from modelyard.billing.price import Price
from modelyard.billing.rate import Rate, Unit
from modelyard.core import ids
from modelyard.core.access import Scope
from modelyard.core.clock import microseconds
from modelyard.core.events import PredictionMade
from modelyard.core.jobs import Job
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.deployment.deployment import (
    Deployment,
    DeploymentSpec,
    DeploymentState,
    DeploymentStatus,
    Target,
)
from modelyard.registry.artifact import Artifact, Format
from modelyard.registry.card import Candidate, Card, Confusion, Ensemble, EnsembleMember
from modelyard.registry.parity import Parity
from modelyard.registry.provider import Provider, ProviderSpec
from modelyard.registry.version import Lineage, ModelVersion, NewVersion, VersionState
from modelyard.tenancy.key import ApiKey
from modelyard.training.dataset import (
    Column,
    ColumnType,
    FileFormat,
    Inspection,
    NewDatasetVersion,
)

OURS = "tnt_ours"
THEIRS = "tnt_theirs"
START = datetime(2026, 1, 1, tzinfo=UTC)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def a_key(tenant_id: str = OURS, name: str = "app", expires_at: datetime | None = None) -> ApiKey:
    key_id = ids.new_id(ids.KEY)
    return ApiKey(
        id=key_id,
        tenant_id=tenant_id,
        name=name,
        scope=Scope.INFER,
        hash=bytes.fromhex(digest(key_id)),
        hint="my_abcdef",
        created_at=START,
        expires_at=expires_at,
    )


def a_provider(name: str = "openai") -> Provider:
    spec = ProviderSpec("https://api.example.com/v1", ("x-a",))
    return Provider(ids.new_id(ids.PROVIDER), name, spec, b"\x00sealed\xff", START, START)


SIGNATURE = Signature(
    inputs=(TensorSpec("features", Datatype.FP32, (-1, 2), ("age", "größe"), nullable=True),),
    outputs=(TensorSpec("label", Datatype.BYTES, (-1,)),),
)


def a_version(job_id: str = "", *, parity: Parity | None = None) -> NewVersion:
    """A version with something in every field, odd characters included."""
    return NewVersion(
        signature=SIGNATURE,
        artifacts=(
            Artifact("model.onnx", Format.ONNX, digest("onnx"), 10),
            Artifact("model.joblib", Format.JOBLIB, digest("joblib"), 20),
        ),
        lineage=Lineage(
            source="training",
            code_version="0.1.0",
            dataset="churn",
            dataset_version=3,
            job_id=job_id,
            seed=0,
            parameters={"C": 0.1, "layers": [8, 8], "kernel": None},
        ),
        card=Card(
            task="classification",
            algorithm="logistic_regression",
            metrics={"accuracy": 0.1 + 0.2},
            confusion=Confusion(("yes", "nö\x00"), ((5, 1), (0, 7))),
            leaderboard=(Candidate("mlp", None, error="did not converge"),),
            ensemble=Ensemble(
                "stacking", (EnsembleMember("svm", 0.9, {"C": 2}, weight=0.7),), 5, 6
            ),
        ),
        parity=parity,
    )


def a_failed_version() -> NewVersion:
    """What an import leaves whose file could not be read."""
    return NewVersion(
        signature=None,
        artifacts=(Artifact("model.onnx", Format.ONNX, digest("half"), 5),),
        lineage=Lineage(source="import", code_version="0.1.0"),
        card=Card(task="imported", algorithm=""),
        state=VersionState.FAILED,
        reason="the file is cut off",
    )


def a_dataset(content: str = "a,b") -> NewDatasetVersion:
    return NewDatasetVersion(
        filename="churn.csv",
        size=len(content),
        digest=digest(content),
        table=digest(content + " as parquet"),
        inspection=Inspection(
            format=FileFormat.CSV,
            rows=2,
            columns=(Column("a", ColumnType.INTEGER, 0, 2, minimum=1, maximum=2, mean=1.5),),
            preview=({"a": 1, "b": None}, {"a": 2, "b": "é"}),
        ),
    )


def a_job(tenant_id: str = OURS, max_attempts: int = 3, priority: int = 0) -> Job:
    return Job(
        id=ids.new_id(ids.JOB),
        tenant_id=tenant_id,
        kind="train",
        spec={"model": "churn", "folds": 5, "parameters": {"C": 0.5}},
        created_at=START,
        max_attempts=max_attempts,
        priority=priority,
    )


def a_deployment(
    name: str = "churn", tenant_id: str = OURS, target: ModelVersion | None = None
) -> Deployment:
    status = DeploymentStatus()
    if target is not None:
        status = DeploymentStatus(
            state=DeploymentState.READY,
            generation=1,
            target=Target(target.model, target.number, target.id),
            gateways_ready=1,
            gateways=2,
        )
    return Deployment(
        id=ids.new_id(ids.DEPLOYMENT),
        tenant_id=tenant_id,
        name=name,
        spec=DeploymentSpec("churn@champion"),
        generation=1,
        status=status,
        created_at=START,
        updated_at=START,
    )


def a_price(
    amount: str, deployment: str = "churn", seconds: float = 0.0, unit: Unit = Unit.REQUEST
) -> Price:
    return Price(
        id=ids.new_id(ids.PRICE),
        deployment=deployment,
        currency="USD",
        rates=(Rate.flat(unit, Decimal(amount)),),
        effective_from=START + timedelta(seconds=seconds),
    )


def an_event(
    seconds: float = 0.0,
    tenant_id: str = OURS,
    deployment: str = "churn",
    key_id: str = "key_a",
    status: int = 200,
    rows: int = 1,
) -> PredictionMade:
    return PredictionMade(
        request_id=ids.new_id(ids.REQUEST),
        at=microseconds(START + timedelta(seconds=seconds)),
        tenant_id=tenant_id,
        key_id=key_id,
        deployment=deployment,
        model=deployment,
        version=1,
        status=status,
        rows=rows if status < 400 else 0,
        bytes_in=100,
        bytes_out=10,
        duration=2_000,
    )
