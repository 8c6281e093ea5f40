"""Which generation of a deployment a gateway's report speaks of.

The reports there are say no more than what is said anew every two seconds: they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("DELETE FROM replicas")
    op.add_column(
        "replicas", sa.Column("generation", sa.Integer(), nullable=False, server_default="0")
    )
