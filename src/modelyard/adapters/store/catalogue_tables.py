"""The tables of the catalogue; what `schema` says holds here too."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from modelyard.adapters.store.columns import NAME, Json, Moment, Prose
from modelyard.adapters.store.schema import metadata

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
