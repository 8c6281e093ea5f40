"""Whose job is next: tenants take turns, and a tenant's own jobs have priorities."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    op.drop_index("ix_jobs_state_id", "jobs")
    op.create_index(
        "ix_jobs_state_tenant_id_priority_id", "jobs", ["state", "tenant_id", "priority", "id"]
    )
    op.create_index("ix_jobs_tenant_id_started_at", "jobs", ["tenant_id", "started_at"])
