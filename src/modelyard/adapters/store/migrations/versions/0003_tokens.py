"""Tokens that were used, and what they cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
        column = sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        op.add_column("usage_events", column)
    op.add_column("usage_events", sa.Column("finish", sa.Text(), nullable=False, server_default=""))
    for name in ("input_amount", "cached_amount"):
        op.add_column("prices", sa.Column(name, sa.Text()))
