"""Limits that a publisher gives a deployment's callers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

BEFORE = "uq_quotas_tenant_id_key_id_measure_period_imposed"
AFTER = "uq_quotas_place"
PLACE = ["tenant_id", "key_id", "measure", "period", "imposed", "deployment", "each_caller"]


def upgrade() -> None:
    rebuilt = op.get_bind().dialect.name == "sqlite"
    if rebuilt:
        # SQLite changes a constraint by making the table anew, and to drop the old one takes with
        # it what refers to its rows.
        op.execute("CREATE TEMPORARY TABLE kept_periods AS SELECT * FROM budget_periods")
    with op.batch_alter_table("quotas") as quotas:
        quotas.add_column(
            sa.Column("deployment", sa.Text(), nullable=False, server_default=sa.text("''"))
        )
        quotas.add_column(
            sa.Column("each_caller", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        quotas.drop_constraint(BEFORE, type_="unique")
        quotas.create_unique_constraint(AFTER, PLACE)
    if rebuilt:
        op.execute("INSERT OR IGNORE INTO budget_periods SELECT * FROM kept_periods")
        op.execute("DROP TABLE kept_periods")
