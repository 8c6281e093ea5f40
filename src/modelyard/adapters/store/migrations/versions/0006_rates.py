"""Prices are of several units, in tiers, for one customer, with a minimum."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # What has no rates is never read: all rows get them below.
    op.add_column(
        "prices", sa.Column("rates", sa.Text(), nullable=False, server_default=sa.text("'[]'"))
    )
    op.add_column("prices", sa.Column("minimum", sa.Text()))
    op.add_column(
        "prices",
        sa.Column("customer_id", sa.Text(), nullable=False, server_default=sa.text("''")),
    )
    prices = sa.table(
        "prices",
        *(sa.column(name) for name in ("id", "rates", "unit", "amount")),
        sa.column("input_amount"),
        sa.column("cached_amount"),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(prices)).all():
        change = sa.update(prices).where(prices.c.id == row.id)
        connection.execute(change.values(rates=json.dumps(_rates(row))))
    for name in ("unit", "amount", "input_amount", "cached_amount"):
        op.drop_column("prices", name)


def _rates(row: Any) -> list[dict[str, Any]]:
    if row.unit != "token":
        return [_flat(row.unit, row.amount)]
    return [
        _flat("input_token", row.input_amount),
        _flat("cached_token", row.cached_amount or row.input_amount),
        _flat("output_token", row.amount),
    ]


def _flat(unit: str, amount: str) -> dict[str, Any]:
    return {
        "unit": unit,
        "tiers": [{"amount": amount, "up_to": None}],
        "scheme": "graduated",
        "free": 0,
    }
