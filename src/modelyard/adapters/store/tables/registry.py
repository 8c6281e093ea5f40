"""The tables of models, their versions and providers."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from modelyard.adapters.store.columns import NAME, Choice, Json, Moment, Prose
from modelyard.adapters.store.tables.base import metadata, tenant
from modelyard.core.profile import Profile
from modelyard.core.tensors import Signature
from modelyard.registry.artifact import Artifact
from modelyard.registry.card import Card
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.parity import Parity
from modelyard.registry.provider import ProviderSpec
from modelyard.registry.version import Lineage, VersionState

models: Final = Table(
    "models",
    metadata,
    Column("id", Text, primary_key=True),
    tenant(),
    Column("name", NAME, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("latest", Integer, nullable=False),
    Column("description", Prose, nullable=False),
    # The last number that was given: `latest` stays behind when a version has failed.
    Column("versions", Integer, nullable=False, server_default="0"),
    Column("intended_use", Prose, nullable=False, server_default=text("''")),
    UniqueConstraint("tenant_id", "name"),
)

model_versions: Final = Table(
    "model_versions",
    metadata,
    Column("id", Text, primary_key=True),
    tenant(),
    Column("model_id", Text, ForeignKey("models.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    # The lineage's job, where there is one: a job that is run again makes no second version.
    Column("job_id", Text),
    Column("signature", Json[Signature](Signature)),
    Column("artifacts", Json[tuple[Artifact, ...]](tuple[Artifact, ...]), nullable=False),
    Column("lineage", Json[Lineage](Lineage), nullable=False),
    Column("card", Json[Card](Card), nullable=False),
    Column("parity", Json[Parity](Parity)),
    Column("profile", Json[Profile](Profile)),
    Column("state", Choice(VersionState), nullable=False, server_default="ready"),
    Column("reason", Prose, nullable=False, server_default=text("''")),
    UniqueConstraint("model_id", "number"),
    UniqueConstraint("tenant_id", "job_id"),
)

# Apart from the versions, which are listed by the hundred.
evaluations: Final = Table(
    "evaluations",
    metadata,
    tenant(),
    Column("version_id", Text, ForeignKey("model_versions.id"), primary_key=True),
    Column("evaluation", Json[Evaluation](Evaluation), nullable=False),
)

aliases: Final = Table(
    "aliases",
    metadata,
    tenant(),
    Column("model_id", Text, nullable=False),
    Column("name", NAME, nullable=False),
    Column("number", Integer, nullable=False),
    Column("updated_at", Moment, nullable=False),
    PrimaryKeyConstraint("model_id", "name"),
    ForeignKeyConstraint(
        ["model_id", "number"], ["model_versions.model_id", "model_versions.number"]
    ),
)

providers: Final = Table(
    "providers",
    metadata,
    Column("id", Text, primary_key=True),
    tenant(),
    Column("name", NAME, nullable=False),
    Column("spec", Json[ProviderSpec](ProviderSpec), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)
