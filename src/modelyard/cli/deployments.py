"""`modelyard deploy` and `modelyard deployments`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from modelyard.cli.display import Json, facts, listing, print_json, terminal
from modelyard.cli.models import name_of
from modelyard_client import Client
from modelyard_client.deployments import Deployment


def deploy(
    model: str,
    /,
    *,
    name: Annotated[str | None, Parameter(name="--as")] = None,
    wait: bool = False,
    timeout: float = 60.0,
    json: Json = False,
) -> None:
    """Serve a version of a model under a name on the data plane.

    A name that is in use changes over to the new version without a failed request.

    Args:
        model: MODEL, MODEL:VERSION or MODEL@ALIAS; the newest version if neither is given.
        name: The deployment's name; the model's own if not given.
        wait: Wait until every gateway serves it.
        timeout: How many seconds to wait at most.
    """
    with Client() as client:
        deployment = client.deployments.put(name or name_of(model), model)
        if wait:
            deployment = client.deployments.wait_ready(deployment.name, timeout)
    if json:
        print_json(deployment)
        return
    state = deployment.status.state
    terminal().print(f"deployment {deployment.name} of {deployment.spec.model}: {state}")


def list_all(*, json: Json = False) -> None:
    """List the deployments by name."""
    with Client() as client:
        deployments = client.deployments.list()
    if json:
        print_json(deployments)
        return
    rows = [
        (d.name, d.spec.model, _version(d), d.status.state, _gateways(d), d.updated_at)
        for d in deployments
    ]
    headings = ("DEPLOYMENT", "MODEL", "VERSION", "STATE", "GATEWAYS", "CHANGED")
    listing(headings, rows, "no deployments: 'modelyard deploy'")


def show(name: str, /, *, json: Json = False) -> None:
    """Show one deployment.

    Args:
        name: The deployment.
    """
    with Client() as client:
        shown = client.deployments.get(name)
    if json:
        print_json(shown)
        return
    terminal().print(
        facts(
            [
                ("deployment", shown.name),
                ("model", shown.spec.model),
                ("version", _version(shown)),
                ("state", shown.status.state),
                ("reason", shown.status.reason),
                ("gateways", _gateways(shown)),
                ("generation", shown.generation),
                ("created", shown.created_at),
                ("changed", shown.updated_at),
            ]
        )
    )


def delete(name: str, /, *, json: Json = False) -> None:
    """Take a deployment off the data plane. The model stays.

    Args:
        name: The deployment.
    """
    with Client() as client:
        client.deployments.delete(name)
    if json:
        print_json({"deleted": name})
    else:
        terminal().print(f"deployment {name} is deleted")


def _version(deployment: Deployment) -> str:
    target = deployment.status.target
    return "-" if target is None else f"{target.model}:{target.number}"


def _gateways(deployment: Deployment) -> str:
    return f"{deployment.status.gateways_ready} of {deployment.status.gateways}"
