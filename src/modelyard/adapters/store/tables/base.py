"""What all tables have in common."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, ForeignKey, MetaData, Text

MAX_NUMBER: Final = 2**31 - 1
"""The largest number that an Integer column holds."""

metadata: Final = MetaData(
    # Named constraints can be changed by later migrations.
    naming_convention={
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


def tenant() -> Column[Any]:
    """Whose the row is."""
    return Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False)
