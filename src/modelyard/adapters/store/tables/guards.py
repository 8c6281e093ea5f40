"""Triggers that refuse to change what is final: the ledger, credits, and invoices that are no
drafts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, event, text

from modelyard.adapters.store.tables.base import metadata
from modelyard.adapters.store.tables.billing import credits, invoices, platform_usage, usage_events

_LEDGER: Final = "the ledger of usage is append-only"
_INVOICE: Final = "a final invoice never changes"
_APPEND_ONLY: Final = {
    usage_events.name: _LEDGER,
    platform_usage.name: f"{platform_usage.name} is append-only",
    credits.name: f"{credits.name} is append-only",
}
"""Tables, and what is said of a change to their rows."""
_FUNCTIONS: Final = {
    "usage_events_refuse": f"'{_LEDGER}'",
    "refuse_change": "'% is append-only', TG_TABLE_NAME",
    "refuse_invoice_change": f"'{_INVOICE}'",
}
"""PostgreSQL's triggers call these, which say that."""
_FINAL: Final = ("id", "tenant_id", "number", "created_at", "document", "digest")
"""Columns of an invoice."""


@event.listens_for(metadata, "after_create")
def guard(_target: object, connection: Connection, **_: Any) -> None:
    """Add the triggers to tables that have just been made."""
    of = {"sqlite": _on_sqlite, "postgresql": _on_postgresql}
    for statement in of[connection.dialect.name]():
        connection.execute(text(statement))


def _on_sqlite() -> Iterator[str]:
    for table, said in _APPEND_ONLY.items():
        for change in ("UPDATE", "DELETE"):
            yield (
                f"CREATE TRIGGER {table}_refuse_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{said}'); END"
            )
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _FINAL)
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_INVOICE}'); END"
    yield (
        f"CREATE TRIGGER invoices_refuse_update BEFORE UPDATE ON {invoices.name} "
        f"WHEN OLD.state <> 'draft' AND (NEW.state = 'draft' OR {changed}) {refuse}"
    )
    yield (
        f"CREATE TRIGGER invoices_refuse_delete BEFORE DELETE ON {invoices.name} "
        f"WHEN OLD.state <> 'draft' {refuse}"
    )


def _on_postgresql() -> Iterator[str]:
    for name, said in _FUNCTIONS.items():
        yield (
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION {said}; END $$"
        )
    for table, said in _APPEND_ONLY.items():
        function = "usage_events_refuse" if said is _LEDGER else "refuse_change"
        yield (
            f"CREATE TRIGGER {table}_refuse BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _FINAL)
    yield (
        f"CREATE TRIGGER invoices_refuse_update BEFORE UPDATE ON {invoices.name} FOR EACH ROW "
        f"WHEN (OLD.state <> 'draft' AND (NEW.state = 'draft' OR {changed})) "
        "EXECUTE FUNCTION refuse_invoice_change()"
    )
    yield (
        f"CREATE TRIGGER invoices_refuse_delete BEFORE DELETE ON {invoices.name} FOR EACH ROW "
        "WHEN (OLD.state <> 'draft') EXECUTE FUNCTION refuse_invoice_change()"
    )
