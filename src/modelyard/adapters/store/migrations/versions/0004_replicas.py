"""How many processes a deployment has of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for table in ("replicas", "deployments"):
        op.add_column(table, sa.Column("replicas", sa.Integer()))
