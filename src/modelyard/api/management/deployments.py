"""`/api/v1/deployments`: what is served under which name."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Response, Router, delete, get, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Paging, Services
from modelyard.api.management.fields import Name
from modelyard.api.management.problems import refusals
from modelyard.core.access import Permission
from modelyard.core.pages import Page
from modelyard.deployment import deployment as entity
from modelyard.deployment.deployment import DeploymentSpec, DeploymentStatus
from modelyard.serving.options import ServingOptions


class WantedDeployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What should be served."""

    model: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            description="`churn` (the newest version), `churn:3` or `churn@champion`.",
            examples=["churn@champion"],
        ),
    ]
    options: Annotated[
        ServingOptions | None,
        Meta(description="How it is served. If not given, as it is; `{}` stands for the defaults."),
    ] = None


class Deployment(msgspec.Struct, frozen=True):
    """A deployment: what was asked for (`spec`) and what is observed (`status`).

    `status` speaks of the spec as it was at `status.generation`; while that is less than
    `generation`, a change is on its way.
    """

    id: str
    name: str
    spec: DeploymentSpec
    generation: int
    status: DeploymentStatus
    created_at: datetime
    updated_at: datetime


@get("/", summary="List deployments", responses=refusals(), sync_to_thread=True)
def list_deployments(services: Services, caller: Caller, page: Paging) -> Page[Deployment]:
    """By name."""
    return services.deployments.list(caller.tenant_id, page).map(_shown)


@get("/{name:str}", summary="Show a deployment", responses=refusals(404), sync_to_thread=True)
def show_deployment(services: Services, caller: Caller, name: Name) -> Deployment:
    """It is ready when `status.state` is `ready` for the newest generation."""
    return _shown(services.deployments.get(caller.tenant_id, name))


@put(
    "/{name:str}",
    summary="Deploy",
    responses={
        **refusals(404, 409, 413, 415),
        201: ResponseSpec(Deployment, description="Made.", generate_examples=False),
    },
    response_description="Changed, or as it was.",
    sync_to_thread=True,
)
def put_deployment(
    services: Services, caller: Caller, name: Name, data: JSONBody[WantedDeployment]
) -> Response[Deployment]:
    """Make the deployment, or change what it serves. The same request again changes nothing.

    The answer comes before the model is loaded: follow `status`.
    """
    spec = DeploymentSpec(data.model, data.options or ServingOptions())
    deployment, created = services.deployments.put(
        caller.tenant_id, name, spec, keep_options=data.options is None
    )
    return Response(_shown(deployment), status_code=201 if created else 200)


@delete("/{name:str}", summary="Undeploy", responses=refusals(404), sync_to_thread=True)
def delete_deployment(services: Services, caller: Caller, name: Name) -> None:
    """Stop serving under this name. The model and its usage stay."""
    services.deployments.delete(caller.tenant_id, name)


def _shown(deployment: entity.Deployment) -> Deployment:
    return Deployment(
        id=deployment.id,
        name=deployment.name,
        spec=deployment.spec,
        generation=deployment.generation,
        status=deployment.status,
        created_at=deployment.created_at,
        updated_at=deployment.updated_at,
    )


deployments: Final = Router(
    "/deployments",
    route_handlers=[list_deployments, show_deployment, put_deployment, delete_deployment],
    tags=["deployments"],
    opt=needs(Permission.DEPLOYMENTS_READ, Permission.DEPLOYMENTS_WRITE),
)
