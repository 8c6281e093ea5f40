"""`modelyard tenants`."""

from __future__ import annotations

from modelyard.cli.display import Json, facts, listing, print_json, terminal
from modelyard_client import Client


def create(name: str, /, *, json: Json = False) -> None:
    """Open a tenant. With '--tenant NAME' before any command, the operator then acts in it.

    Args:
        name: 1 to 63 of a-z, 0-9, '.', '_' and '-'; it cannot be changed.
    """
    with Client() as client:
        tenant = client.tenants.create(name)
    if json:
        print_json(tenant)
    else:
        terminal().print(f"tenant {tenant.name} is open ({tenant.id})")


def list_all(*, json: Json = False) -> None:
    """List the tenants that you may know of."""
    with Client() as client:
        tenants = client.tenants.list()
    if json:
        print_json(tenants)
        return
    listing(("TENANT", "ID", "CREATED"), [(t.name, t.id, t.created_at) for t in tenants], "none")


def show(name: str, /, *, json: Json = False) -> None:
    """Show a tenant.

    Args:
        name: Its name.
    """
    with Client() as client:
        tenant = client.tenants.get(name)
    if json:
        print_json(tenant)
        return
    terminal().print(
        facts([("tenant", tenant.name), ("id", tenant.id), ("created", tenant.created_at)])
    )
