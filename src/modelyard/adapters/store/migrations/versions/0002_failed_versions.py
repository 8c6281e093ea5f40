"""Versions that have failed, and what a version costs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("models", sa.Column("versions", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE models SET versions = latest")
    for column in (
        sa.Column("profile", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False, server_default="ready"),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
    ):
        op.add_column("model_versions", column)
