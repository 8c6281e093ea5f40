"""Run by Alembic: applies the scripts inside the caller's transaction."""

from __future__ import annotations

from alembic import context

from modelyard.adapters.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
