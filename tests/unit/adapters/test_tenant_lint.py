"""Nobody asks the database for a tenant's rows without the tenant.

Statements of repositories that belong to a tenant are begun by `TenantRows`, which puts the tenant
in. Every other place that begins a statement is named here, with what it may: a new one fails.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from modelyard.adapters import store

FOLDER = Path(store.__file__).parent
BEGINNINGS = {"select", "insert", "update", "delete", "upsert", "exec_driver_sql", "text"}
OWNERS = {
    "tenant_rows.TenantRows": "puts the tenant into every statement",
    # Across tenants, for processes that act for all of them.
    "board.SqlBoard": "the controller reconciles all deployments",
    "control_plane.KEYS": "a gateway knows all keys",
    "control_plane.ROUTES": "a gateway serves all deployments",
    "control_plane.SUBSCRIPTIONS": "a gateway knows all names",
    "control_plane.SqlControlPlane": "of no tenant: gateways and their reports",
    "invoices.SqlSeries": "of no tenant: numbers without gaps",
    "keys.note_use": "the ledger tells of all keys when they were used",
    "lease.Lease": "of no tenant",
    "ledger.SqlLedger": "takes in the journals of all tenants",
    "platform.SqlPlatformLedger": "meters the work of all tenants",
    "platform._BOOK": "the operator's own prices",
    "prices.prices_of": "the ledger prices what all tenants have used",
    "providers.OF_ALL": "a gateway asks the providers of all tenants",
    "queue.SqlQueue": "a worker takes jobs of all tenants",
    "queue._next": "what a worker takes has the tenant whose turn it is",
    "queue._turns": "tenants take turns in the queue",
    "quotas.SqlBudgets": "the controller keeps the budgets of all tenants",
    "quotas._LATEST": "part of a statement that has its tenant",
    "quotas.rates_of_deployments": "a gateway knows the prices of all deployments",
    "quotas.with_latest_period": "begun for one tenant by SqlQuotas, for all by the control plane",
    "transaction.REVISION": "of no tenant",
    "transaction.SqlTransaction": "of no tenant: the revision",
    # What is above tenants.
    "keys.SqlTenants": "the tenants themselves",
    "keys._TENANTS": "the tenants themselves",
    "people.SqlUsers": "people may be members of several",
    "people._USERS": "people may be members of several",
    # With a condition of their own on who may see the row.
    "catalogue.SqlCatalogue": "what others offer, where it is public or names the tenant",
    "catalogue._LISTINGS": "begun by SqlListings and SqlCatalogue, with their conditions",
    "catalogue.SqlListings": "shares, of a listing that was read by its tenant",
    "charged.SqlCharged": "by tenant, or by owner for what others have used",
    "quotas.SqlQuotas": "periods, of a quota that was read by its tenant",
    "usage.SqlUsage": "by tenant, or by owner for what others have used",
}


def _owners(source: str) -> Iterator[str]:
    """The classes, functions and constants of a module that begin a statement by themselves."""
    for node in ast.parse(source).body:
        calls = (each for each in ast.walk(node) if isinstance(each, ast.Call))
        names = {
            each.func.attr if isinstance(each.func, ast.Attribute) else each.func.id
            for each in calls
            if (isinstance(each.func, ast.Name) and each.func.id in BEGINNINGS)
            or (isinstance(each.func, ast.Attribute) and each.func.attr == "exec_driver_sql")
        }
        if not names:
            continue
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        else:
            yield ast.unparse(node)[:60]


def _found() -> set[str]:
    modules = (path for path in FOLDER.glob("*.py") if not path.name.endswith("_tables.py"))
    return {
        f"{path.stem}.{owner}"
        for path in modules
        if path.name not in ("schema.py", "migrate.py", "engine.py")
        for owner in _owners(path.read_text())
    }


def test_only_these_begin_statements_by_themselves() -> None:
    assert sorted(_found()) == sorted(OWNERS)


def test_one_that_is_new_would_be_found() -> None:
    source = """
from sqlalchemy import select

class SqlThings(TenantRows):
    def all(self):
        return self._connection.execute(select(things)).all()

    def own(self):
        return self._connection.execute(self._select(things)).all()
"""
    assert list(_owners(source)) == ["SqlThings"]
    bound = source.replace("execute(select(", "execute(self._select(")
    assert list(_owners(bound)) == []
