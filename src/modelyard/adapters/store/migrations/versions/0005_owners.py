"""Whose deployment answered, and how long the model ran. What is in the ledger stays as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_REFUSAL = "the ledger of usage is append-only"


def upgrade() -> None:
    for name in ("deployment_id", "owner_id"):
        column = sa.Column(name, sa.Text(), nullable=False, server_default="")
        op.add_column("usage_events", column)
    compute = sa.Column("compute", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("usage_events", compute)
    op.create_index(
        "ix_usage_events_owner_id_at",
        "usage_events",
        ["owner_id", "at"],
        sqlite_where=sa.text("owner_id <> ''"),
        postgresql_where=sa.text("owner_id <> ''"),
    )
    if op.get_bind().dialect.name == "postgresql":
        _refuse_on_postgresql()
    else:
        _refuse_on_sqlite()


def _refuse_on_sqlite() -> None:
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER usage_events_refuse_{change.lower()} BEFORE {change} ON usage_events "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )


def _refuse_on_postgresql() -> None:
    op.execute(
        "CREATE OR REPLACE FUNCTION usage_events_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER usage_events_refuse BEFORE UPDATE OR DELETE ON usage_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION usage_events_refuse()"
    )
