"""`/api/v1/models`: models, versions and aliases."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Router, delete, get, post, put
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.admission import LANE, Lane
from modelyard.api.management.authorization import needs
from modelyard.api.management.cards import (
    set_intended_use,
    show_card,
    show_card_markdown,
    show_evaluation,
    show_plot,
)
from modelyard.api.management.dependencies import Caller, Paging, Services
from modelyard.api.management.fields import Digest, Filename, Name, Number
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.problems import refusals
from modelyard.core.access import Permission
from modelyard.core.pages import Page
from modelyard.registry.model import Alias, Model, Reference
from modelyard.registry.version import ModelVersion
from modelyard.training.importing import ImportOrder


class NewModelVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file to import as a model's next version.

    `sample` is a JSON file with rows that the model takes: it is tried on them, and what it takes
    is read from them where its own file does not tell.
    """

    upload: Digest
    filename: Filename
    description: Annotated[str, Meta(max_length=2000, description="For the model card.")] = ""
    sample: Digest | None = None


class AliasTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an alias should point."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1, examples=[3])]


@get("/", summary="List models", responses=refusals(), sync_to_thread=True)
def list_models(services: Services, caller: Caller, page: Paging) -> Page[Model]:
    """By name."""
    return services.registry.models(caller.tenant_id, page)


@get("/{model:str}", summary="Show a model", responses=refusals(404), sync_to_thread=True)
def show_model(services: Services, caller: Caller, model: Name) -> Model:
    """`latest` is the number of its newest version that is ready, 0 while it has none."""
    return services.registry.model(caller.tenant_id, model)


@get("/{model:str}/versions", summary="List versions", responses=refusals(404), sync_to_thread=True)
def list_versions(
    services: Services, caller: Caller, model: Name, page: Paging
) -> Page[ModelVersion]:
    """Newest first, each with its signature, lineage, card and parity."""
    return services.registry.versions(caller.tenant_id, model, page)


@get(
    "/{model:str}/versions/{number:int}",
    summary="Show a version",
    responses=refusals(404),
    sync_to_thread=True,
)
def show_version(services: Services, caller: Caller, model: Name, number: Number) -> ModelVersion:
    """A version never changes."""
    reference = Reference(model, version=number)
    return services.registry.version(caller.tenant_id, reference)


@post(
    "/{model:str}/versions",
    summary="Import a version",
    responses=refusals(404, 409, 413, 415, 422, 501, 507),
    operation_class=Idempotent,
    opt={LANE: Lane.FILES},
    sync_to_thread=True,
)
def import_version(
    services: Services, caller: Caller, model: Name, data: JSONBody[NewModelVersion]
) -> ModelVersion:
    """Upload the file first (`PUT /api/v1/uploads/{sha256}`), then name its digest here.

    It is a model's file in one of the supported formats, or a ZIP or tar of a folder with one in
    it; its content decides which. The model is tried before the answer, and made if it is not
    there. A file that cannot be read becomes a version whose `state` is `failed`, with a `reason`.
    """
    order = ImportOrder(data.upload, data.filename, data.description, data.sample)
    version: ModelVersion = services.imports.import_model(caller.tenant_id, model, order)
    return version


@get("/{model:str}/aliases", summary="List aliases", responses=refusals(404), sync_to_thread=True)
def list_aliases(services: Services, caller: Caller, model: Name) -> Page[Alias]:
    """By name, all on one page."""
    return Page(list(services.registry.aliases(caller.tenant_id, model)))


@put(
    "/{model:str}/aliases/{alias:str}",
    summary="Set an alias",
    responses=refusals(404, 409, 413, 415),
    sync_to_thread=True,
)
def set_alias(
    services: Services,
    caller: Caller,
    model: Name,
    alias: Name,
    data: JSONBody[AliasTarget],
) -> Alias:
    """Deployments of `model@alias` follow it to the version within seconds."""
    return services.registry.set_alias(caller.tenant_id, model, alias, data.version)


@delete(
    "/{model:str}/aliases/{alias:str}",
    summary="Delete an alias",
    responses=refusals(404),
    sync_to_thread=True,
)
def delete_alias(services: Services, caller: Caller, model: Name, alias: Name) -> None:
    """The version that it pointed at stays."""
    services.registry.drop_alias(caller.tenant_id, model, alias)


models: Final = Router(
    "/models",
    route_handlers=[
        list_models,
        show_model,
        list_versions,
        show_version,
        import_version,
        list_aliases,
        set_alias,
        delete_alias,
        set_intended_use,
        show_card,
        show_card_markdown,
        show_evaluation,
        show_plot,
    ],
    tags=["models"],
    opt=needs(Permission.MODELS_READ, Permission.MODELS_WRITE),
)
