"""What tenants offer each other, and bounds, rotation and last use of keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for name, kind in (
        ("deployments", sa.Text()),
        ("networks", sa.Text()),
        ("former_hash", sa.LargeBinary()),
        ("former_until", sa.BigInteger()),
        ("last_used_at", sa.BigInteger()),
    ):
        op.add_column("api_keys", sa.Column(name, kind))
    op.create_table(
        "listings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("deployment_id", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("examples", sa.Text(), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_listings_tenant_id"),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployments.id"],
            name="fk_listings_deployment_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_listings"),
        sa.UniqueConstraint("deployment_id", name="uq_listings_deployment_id"),
    )
    op.create_index("ix_listings_tenant_id_id", "listings", ["tenant_id", "id"])
    op.create_table(
        "listing_shares",
        sa.Column("listing_id", sa.Text(), nullable=False),
        sa.Column("consumer", NAME, nullable=False),
        sa.ForeignKeyConstraint(
            ["listing_id"],
            ["listings.id"],
            name="fk_listing_shares_listing_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("listing_id", "consumer", name="pk_listing_shares"),
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("listing_id", sa.Text(), nullable=False),
        sa.Column("publisher", NAME, nullable=False),
        sa.Column("deployment", NAME, nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_subscriptions_tenant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_subscriptions_tenant_id_name"),
    )
