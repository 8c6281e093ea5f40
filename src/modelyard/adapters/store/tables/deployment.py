"""The tables of deployments, who serves them, and where they are offered."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
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
from modelyard.deployment.deployment import DeploymentSpec, DeploymentState, ReplicaState

deployments: Final = Table(
    "deployments",
    metadata,
    Column("id", Text, primary_key=True),
    tenant(),
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

listings: Final = Table(
    "listings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False),
    Column(
        "deployment_id",
        Text,
        # What is served no more is offered no more.
        ForeignKey("deployments.id", ondelete="CASCADE"),
        nullable=False,
        unique=True,
    ),
    Column("description", Prose, nullable=False),
    Column("terms", Prose, nullable=False),
    Column("examples", Json[tuple[Any, ...]](tuple[Any, ...]), nullable=False),
    Column("public", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("ix_listings_tenant_id_id", "tenant_id", "id"),
)

# Tenants by their names: one that is named here need not exist.
listing_shares: Final = Table(
    "listing_shares",
    metadata,
    Column("listing_id", Text, ForeignKey("listings.id", ondelete="CASCADE"), nullable=False),
    Column("consumer", NAME, nullable=False),
    PrimaryKeyConstraint("listing_id", "consumer"),
)

# A subscription outlives its listing: its tenant sees what has become of it.
subscriptions: Final = Table(
    "subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False),
    Column("name", NAME, nullable=False),
    Column("listing_id", Text, nullable=False),
    Column("publisher", NAME, nullable=False),
    Column("deployment", NAME, nullable=False),
    Column("terms", Prose, nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)
