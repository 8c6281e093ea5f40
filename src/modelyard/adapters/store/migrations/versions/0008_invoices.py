"""Invoices, credit, billing profiles, and what is used of the platform itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_FINAL = ("id", "tenant_id", "number", "created_at", "document", "digest")
"""The columns of an invoice that stay as they are once it is final."""
_APPEND_ONLY = ("platform_usage", "credits")


def upgrade() -> None:
    _tables()
    if op.get_bind().dialect.name == "postgresql":
        _guard_on_postgresql()
    else:
        _guard_on_sqlite()


def _tables() -> None:
    op.create_table(
        "platform_usage",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("price_id", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_platform_usage"),
    )
    op.create_index("ix_platform_usage_tenant_id_at", "platform_usage", ["tenant_id", "at"])
    op.create_table(
        "billing_profiles",
        _tenant("billing_profiles"),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_billing_profiles"),
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.Text(), nullable=False),
        _tenant("invoices"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("number", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text()),
        sa.Column("paid_at", sa.BigInteger()),
        sa.Column("voided_at", sa.BigInteger()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_invoices"),
        sa.UniqueConstraint("number", name="uq_invoices_number"),
    )
    op.create_index("ix_invoices_tenant_id_id", "invoices", ["tenant_id", "id"])
    op.create_index(
        "uq_invoices_draft",
        "invoices",
        ["tenant_id"],
        unique=True,
        sqlite_where=sa.text("state = 'draft'"),
        postgresql_where=sa.text("state = 'draft'"),
    )
    op.create_table(
        "credits",
        sa.Column("id", sa.Text(), nullable=False),
        _tenant("credits"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("number", sa.Text()),
        sa.Column("invoice_id", sa.Text()),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_credits"),
        sa.UniqueConstraint("number", name="uq_credits_number"),
    )
    op.create_index("ix_credits_tenant_id_id", "credits", ["tenant_id", "id"])
    op.create_table(
        "number_series",
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("series", name="pk_number_series"),
    )


def _tenant(table: str) -> sa.Column[str]:
    key = sa.ForeignKey("tenants.id", name=f"fk_{table}_tenant_id")
    return sa.Column("tenant_id", sa.Text(), key, nullable=False)


def _guard_on_sqlite() -> None:
    for table in _APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuse_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _FINAL)
    op.execute(
        f"CREATE TRIGGER invoices_refuse_update BEFORE UPDATE ON invoices "
        f"WHEN OLD.state <> 'draft' AND (NEW.state = 'draft' OR {changed}) "
        f"BEGIN SELECT RAISE(ABORT, 'a final invoice never changes'); END"
    )
    op.execute(
        "CREATE TRIGGER invoices_refuse_delete BEFORE DELETE ON invoices "
        "WHEN OLD.state <> 'draft' "
        "BEGIN SELECT RAISE(ABORT, 'a final invoice never changes'); END"
    )


def _guard_on_postgresql() -> None:
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_refuse BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_invoice_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'a final invoice never changes'; END $$"
    )
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _FINAL)
    op.execute(
        f"CREATE TRIGGER invoices_refuse_update BEFORE UPDATE ON invoices FOR EACH ROW "
        f"WHEN (OLD.state <> 'draft' AND (NEW.state = 'draft' OR {changed})) "
        "EXECUTE FUNCTION refuse_invoice_change()"
    )
    op.execute(
        "CREATE TRIGGER invoices_refuse_delete BEFORE DELETE ON invoices FOR EACH ROW "
        "WHEN (OLD.state <> 'draft') EXECUTE FUNCTION refuse_invoice_change()"
    )
