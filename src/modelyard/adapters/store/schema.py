"""The tables. A change here needs a migration in `migrations/versions`; a test compares the two.

Every table that belongs to a tenant has `tenant_id`. Ids are UUIDv7, so ordering by id is
ordering by the time of making.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from modelyard.adapters.store.columns import NAME, Amount, Choice, Json, Moment, Prose
from modelyard.billing.credit import CreditKind
from modelyard.billing.invoice import Document, InvoiceState
from modelyard.billing.profile import BillingProfile
from modelyard.billing.rate import Rate, Unit
from modelyard.core.jobs import JobFailure, JobState
from modelyard.core.profile import Profile
from modelyard.core.quotas import Measure, Period
from modelyard.core.tensors import Signature
from modelyard.deployment.deployment import DeploymentSpec, DeploymentState, ReplicaState
from modelyard.registry.artifact import Artifact
from modelyard.registry.card import Card
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.parity import Parity
from modelyard.registry.provider import ProviderSpec
from modelyard.registry.version import Lineage, VersionState
from modelyard.tenancy.quota import AlertKind
from modelyard.training.dataset import Inspection
from modelyard.training.profile import DataProfile

MAX_NUMBER: Final = 2**31 - 1
"""The largest number that an Integer column holds."""

metadata: Final = MetaData(
    # Named constraints can be changed by later migrations.
    naming_convention={
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


def _tenant() -> Column[Any]:
    return Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False)


tenants: Final = Table(
    "tenants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
)

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    _tenant(),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("deployments", Json[tuple[str, ...]](tuple[str, ...])),
    Column("networks", Json[tuple[str, ...]](tuple[str, ...])),
    # The secret before the last rotation, and until when it is good.
    Column("former_hash", LargeBinary),
    Column("former_until", Moment),
    Column("last_used_at", Moment),
    # Whose login it is, of a person who has logged in.
    Column("user_id", Text),
    Index("ix_api_keys_tenant_id_id", "tenant_id", "id"),
    Index("ix_api_keys_revoked_at", "revoked_at"),
)

models: Final = Table(
    "models",
    metadata,
    Column("id", Text, primary_key=True),
    _tenant(),
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
    _tenant(),
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
    _tenant(),
    Column("version_id", Text, ForeignKey("model_versions.id"), primary_key=True),
    Column("evaluation", Json[Evaluation](Evaluation), nullable=False),
)

aliases: Final = Table(
    "aliases",
    metadata,
    _tenant(),
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
    _tenant(),
    Column("name", NAME, nullable=False),
    Column("spec", Json[ProviderSpec](ProviderSpec), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)

datasets: Final = Table(
    "datasets",
    metadata,
    Column("id", Text, primary_key=True),
    _tenant(),
    Column("name", NAME, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("latest", Integer, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)

dataset_versions: Final = Table(
    "dataset_versions",
    metadata,
    Column("id", Text, primary_key=True),
    _tenant(),
    Column("dataset_id", Text, ForeignKey("datasets.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("filename", Prose, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("table", Text, nullable=False),
    Column("inspection", Json[Inspection](Inspection), nullable=False),
    UniqueConstraint("dataset_id", "number"),
)

dataset_profiles: Final = Table(
    "dataset_profiles",
    metadata,
    _tenant(),
    Column("version_id", Text, ForeignKey("dataset_versions.id"), primary_key=True),
    Column("profile", Json[DataProfile](DataProfile), nullable=False),
)

uploads: Final = Table(
    "uploads",
    metadata,
    _tenant(),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    PrimaryKeyConstraint("tenant_id", "digest"),
)

jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    _tenant(),
    Column("kind", Text, nullable=False),
    Column("spec", Json[dict[str, Any]](dict[str, Any]), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("state", Choice(JobState), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("fence", Integer, nullable=False),
    Column("worker_id", Text),
    Column("lease_until", Moment),
    Column("cancel_requested", Boolean, nullable=False),
    Column("fraction", Double),
    Column("message", Prose, nullable=False),
    Column("result", Json[dict[str, Any]](dict[str, Any])),
    Column("failure", Json[JobFailure](JobFailure)),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Index("ix_jobs_tenant_id_id", "tenant_id", "id"),
    Index("ix_jobs_state_tenant_id_priority_id", "state", "tenant_id", "priority", "id"),
    Index("ix_jobs_tenant_id_started_at", "tenant_id", "started_at"),
)

job_events: Final = Table(
    "job_events",
    metadata,
    _tenant(),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("message", Prose, nullable=False),
    Column("fraction", Double),
    Column("data", Json[dict[str, Any]](dict[str, Any]), nullable=False),
    PrimaryKeyConstraint("job_id", "seq"),
)

deployments: Final = Table(
    "deployments",
    metadata,
    Column("id", Text, primary_key=True),
    _tenant(),
    Column("name", NAME, nullable=False),
    Column("spec", Json[DeploymentSpec](DeploymentSpec), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    # The status, and in it the target: gateways are told of it by a join.
    Column("state", Choice(DeploymentState), nullable=False),
    Column("reason", Prose, nullable=False),
    Column("observed_generation", Integer, nullable=False),
    Column("target_model", Text),
    Column("target_number", Integer),
    Column("target_version_id", Text),
    Column("gateways_ready", Integer, nullable=False),
    Column("gateways", Integer, nullable=False),
    Column("replicas", Integer),
    UniqueConstraint("tenant_id", "name"),
)

gateways: Final = Table(
    "gateways",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seen_at", Moment, nullable=False),
)

replicas: Final = Table(
    "replicas",
    metadata,
    Column("gateway_id", Text, ForeignKey("gateways.id", ondelete="CASCADE"), nullable=False),
    Column("deployment_id", Text, nullable=False),
    Column("version_id", Text, nullable=False),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("state", Choice(ReplicaState), nullable=False),
    Column("reason", Prose, nullable=False),
    Column("replicas", Integer),
    PrimaryKeyConstraint("gateway_id", "deployment_id", "version_id"),
)

prices: Final = Table(
    "prices",
    metadata,
    Column("id", Text, primary_key=True),
    _tenant(),
    Column("deployment", NAME, nullable=False),
    Column("currency", Text, nullable=False),
    Column(
        "rates",
        Json[tuple[Rate, ...]](tuple[Rate, ...]),
        nullable=False,
        server_default=text("'[]'"),
    ),
    Column("effective_from", Moment, nullable=False),
    Column("minimum", Amount),
    # The one tenant for which it holds; empty for all.
    Column("customer_id", Text, nullable=False, server_default=text("''")),
    Index("ix_prices_tenant_id_deployment", "tenant_id", "deployment"),
)

quotas: Final = Table(
    "quotas",
    metadata,
    Column("id", Text, primary_key=True),
    _tenant(),
    # Empty for the whole tenant: a missing value would be another in each row.
    Column("key_id", Text, nullable=False),
    Column("measure", Choice(Measure), nullable=False),
    Column("period", Choice(Period), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("strict", Boolean, nullable=False),
    Column("alert_at", Integer, nullable=False),
    Column("imposed", Boolean, nullable=False),
    Column("zone", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("opened", Boolean, nullable=False),
    # The deployment whose callers it bounds; empty for one of the tenant's own keys.
    Column("deployment", Text, nullable=False, server_default=text("''")),
    Column("each_caller", Boolean, nullable=False, server_default=false()),
    UniqueConstraint(
        "tenant_id",
        "key_id",
        "measure",
        "period",
        "imposed",
        "deployment",
        "each_caller",
        name="uq_quotas_place",
    ),
)

# What was spent of a budget in a period; `since` is microseconds since 1970.
budget_periods: Final = Table(
    "budget_periods",
    metadata,
    Column("quota_id", Text, ForeignKey("quotas.id", ondelete="CASCADE"), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("told", Integer, nullable=False),
    PrimaryKeyConstraint("quota_id", "since"),
)

# An alert outlives its quota.
budget_alerts: Final = Table(
    "budget_alerts",
    metadata,
    Column("id", Text, primary_key=True),
    _tenant(),
    Column("quota_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("kind", Choice(AlertKind), nullable=False),
    Column("measure", Choice(Measure), nullable=False),
    Column("period", Choice(Period), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("since", Moment, nullable=False),
    Column("at", Moment, nullable=False),
    Index("ix_budget_alerts_tenant_id_id", "tenant_id", "id"),
)

# No foreign keys: what a gateway has served is never refused. `at` is microseconds since 1970.
usage_events: Final = Table(
    "usage_events",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("deployment", NAME, nullable=False),
    Column("model", NAME, nullable=False),
    Column("version", Integer, nullable=False),
    Column("status", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("duration", BigInteger, nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("price_id", Text),
    Column("prompt_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cached_tokens", BigInteger, nullable=False, server_default="0"),
    Column("completion_tokens", BigInteger, nullable=False, server_default="0"),
    Column("finish", Text, nullable=False, server_default=text("''")),
    Column("deployment_id", Text, nullable=False, server_default=text("''")),
    # Whose deployment answered; empty where it is the tenant's own.
    Column("owner_id", Text, nullable=False, server_default=text("''")),
    Column("compute", BigInteger, nullable=False, server_default="0"),
    Index("ix_usage_events_tenant_id_at", "tenant_id", "at"),
    Index(
        "ix_usage_events_owner_id_at",
        "owner_id",
        "at",
        sqlite_where=text("owner_id <> ''"),
        postgresql_where=text("owner_id <> ''"),
    ),
)

# What was used of the platform itself. `at` is microseconds since 1970.
platform_usage: Final = Table(
    "platform_usage",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("unit", Choice(Unit), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("price_id", Text),
    Index("ix_platform_usage_tenant_id_at", "tenant_id", "at"),
)

billing_profiles: Final = Table(
    "billing_profiles",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenants.id"), primary_key=True),
    Column("profile", Json[BillingProfile](BillingProfile), nullable=False),
)

# Triggers see to it that what is final stays as it is.
invoices: Final = Table(
    "invoices",
    metadata,
    Column("id", Text, primary_key=True),
    _tenant(),
    Column("state", Choice(InvoiceState), nullable=False),
    Column("number", Text, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("document", Json[Document](Document), nullable=False),
    Column("digest", Text),
    Column("paid_at", Moment),
    Column("voided_at", Moment),
    Column("reason", Prose, nullable=False),
    Index("ix_invoices_tenant_id_id", "tenant_id", "id"),
    Index(
        "uq_invoices_draft",
        "tenant_id",
        unique=True,
        sqlite_where=text("state = 'draft'"),
        postgresql_where=text("state = 'draft'"),
    ),
)

credits: Final = Table(
    "credits",
    metadata,
    Column("id", Text, primary_key=True),
    _tenant(),
    Column("at", Moment, nullable=False),
    Column("kind", Choice(CreditKind), nullable=False),
    Column("amount", Amount, nullable=False),
    Column("currency", Text, nullable=False),
    Column("number", Text, unique=True),
    Column("invoice_id", Text),
    Column("note", Prose, nullable=False),
    Index("ix_credits_tenant_id_id", "tenant_id", "id"),
)

number_series: Final = Table(
    "number_series",
    metadata,
    Column("series", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)

journal_offsets: Final = Table(
    "journal_offsets",
    metadata,
    Column("journal_id", Text, primary_key=True),
    Column("ingested", BigInteger, nullable=False),
)

idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    _tenant(),
    Column("key", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("claimed_at", Moment, nullable=False),
    Column("status", Integer),
    Column("content_type", Text),
    Column("body", LargeBinary),
    PrimaryKeyConstraint("tenant_id", "key"),
    Index("ix_idempotency_keys_tenant_id_claimed_at", "tenant_id", "claimed_at"),
)

# One row, which says how often anything that gateways follow has changed.
revision: Final = Table(
    "revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)

leases: Final = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Moment, nullable=False),
)
