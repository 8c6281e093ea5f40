"""How the columns of datasets are distributed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "dataset_profiles",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_dataset_profiles_tenant_id"
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["dataset_versions.id"], name="fk_dataset_profiles_version_id"
        ),
        sa.PrimaryKeyConstraint("version_id", name="pk_dataset_profiles"),
    )
