"""Schema changes, in order. Each must pass on SQLite and on PostgreSQL."""
