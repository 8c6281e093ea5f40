"""How versions did on held-out rows, and what models are for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column(
        "models",
        sa.Column("intended_use", sa.Text(), nullable=False, server_default=sa.text("''")),
    )
    op.create_table(
        "evaluations",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("evaluation", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_evaluations_tenant_id"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_versions.id"], name="fk_evaluations_version_id"
        ),
        sa.PrimaryKeyConstraint("version_id", name="pk_evaluations"),
    )
