"""The tables of tenants, their keys, people and limits."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from modelyard.adapters.store.columns import NAME, Choice, Json, Moment
from modelyard.adapters.store.tables.base import metadata, tenant
from modelyard.core.access import Role
from modelyard.core.quotas import Measure, Period
from modelyard.tenancy.quota import AlertKind

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
    tenant(),
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

users: Final = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", NAME, nullable=False, unique=True),
    Column("operator", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("password", Text),
    Column("invitation", LargeBinary, unique=True),
    Column("invited_until", Moment),
)

members: Final = Table(
    "members",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("role", Choice(Role), nullable=False),
    Column("created_at", Moment, nullable=False),
    PrimaryKeyConstraint("tenant_id", "user_id"),
    Index("ix_members_user_id", "user_id"),
)

# Subjects are hashes of names and addresses.
login_failures: Final = Table(
    "login_failures",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("last_at", Moment, nullable=False),
)

quotas: Final = Table(
    "quotas",
    metadata,
    Column("id", Text, primary_key=True),
    tenant(),
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
    tenant(),
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

idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    tenant(),
    Column("key", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("claimed_at", Moment, nullable=False),
    Column("status", Integer),
    Column("content_type", Text),
    Column("body", LargeBinary),
    PrimaryKeyConstraint("tenant_id", "key"),
    Index("ix_idempotency_keys_tenant_id_claimed_at", "tenant_id", "claimed_at"),
)
