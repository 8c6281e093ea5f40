"""The tables of data sets, uploads and jobs."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from modelyard.adapters.store.columns import NAME, Choice, Json, Moment, Prose
from modelyard.adapters.store.tables.base import metadata, tenant
from modelyard.core.jobs import JobFailure, JobState
from modelyard.training.dataset import Inspection
from modelyard.training.profile import DataProfile

datasets: Final = Table(
    "datasets",
    metadata,
    Column("id", Text, primary_key=True),
    tenant(),
    Column("name", NAME, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("latest", Integer, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)

dataset_versions: Final = Table(
    "dataset_versions",
    metadata,
    Column("id", Text, primary_key=True),
    tenant(),
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
    tenant(),
    Column("version_id", Text, ForeignKey("dataset_versions.id"), primary_key=True),
    Column("profile", Json[DataProfile](DataProfile), nullable=False),
)

uploads: Final = Table(
    "uploads",
    metadata,
    tenant(),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    PrimaryKeyConstraint("tenant_id", "digest"),
)

jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    tenant(),
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
    tenant(),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("message", Prose, nullable=False),
    Column("fraction", Double),
    Column("data", Json[dict[str, Any]](dict[str, Any]), nullable=False),
    PrimaryKeyConstraint("job_id", "seq"),
)
