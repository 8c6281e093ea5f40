"""The tables of people; what `schema` says holds here too."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from modelyard.adapters.store.columns import NAME, Choice, Moment
from modelyard.adapters.store.schema import metadata
from modelyard.core.access import Role

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
