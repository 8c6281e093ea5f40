"""The tables of the platform itself."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from modelyard.adapters.store.columns import Moment
from modelyard.adapters.store.tables.base import metadata

journal_offsets: Final = Table(
    "journal_offsets",
    metadata,
    Column("journal_id", Text, primary_key=True),
    Column("ingested", BigInteger, nullable=False),
)

# One row, which says how often anything that gateways follow has changed.
revision: Final = Table(
    "revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)

leases: Final = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Moment, nullable=False),
)
