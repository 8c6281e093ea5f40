"""`/api/v1/providers`: others' OpenAI APIs, which models may stand for."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Response, Router, delete, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Paging, Services
from modelyard.api.management.fields import Name
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.problems import refusals
from modelyard.core.access import Permission
from modelyard.core.http_timeouts import HttpTimeouts
from modelyard.core.pages import Page
from modelyard.core.secret import Secret
from modelyard.registry import provider as entity
from modelyard.registry.provider import MAX_FORWARDED, MAX_KEY, MAX_URL, Probe, ProviderSpec


class WantedProvider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A provider as it should be."""

    base_url: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_URL,
            description="What OpenAI's clients call so.",
            examples=["https://api.openai.com/v1"],
        ),
    ]
    api_key: (
        Annotated[
            str,
            Meta(
                max_length=MAX_KEY,
                description="Kept sealed, and never shown. Empty takes it away.",
                examples=["sk-..."],
            ),
        ]
        | None
    ) = None
    forward_headers: Annotated[
        list[str],
        Meta(
            max_length=MAX_FORWARDED,
            description="Names of request headers that are passed on.",
            examples=[["openai-beta"]],
        ),
    ] = []
    timeouts: HttpTimeouts = HttpTimeouts()


class Provider(msgspec.Struct, frozen=True):
    """A provider, without its key: `has_key` says whether there is one."""

    id: str
    name: str
    base_url: str
    has_key: bool
    forward_headers: tuple[str, ...]
    timeouts: HttpTimeouts
    created_at: datetime
    updated_at: datetime


@get("/", summary="List providers", responses=refusals(), sync_to_thread=True)
def list_providers(services: Services, caller: Caller, page: Paging) -> Page[Provider]:
    """By name."""
    return services.providers.list(caller.tenant_id, page).map(_shown)


@get("/{name:str}", summary="Show a provider", responses=refusals(404), sync_to_thread=True)
def show_provider(services: Services, caller: Caller, name: Name) -> Provider:
    """Its key is shown to nobody."""
    return _shown(services.providers.get(caller.tenant_id, name))


@put(
    "/{name:str}",
    summary="Add or change a provider",
    responses={
        **refusals(404, 409, 413, 415),
        201: ResponseSpec(Provider, description="Made.", generate_examples=False),
    },
    response_description="Changed, or as it was.",
    sync_to_thread=True,
)
def put_provider(
    services: Services, caller: Caller, name: Name, data: JSONBody[WantedProvider]
) -> Response[Provider]:
    """Without `api_key` it keeps the one that it has, as long as it stays at the same address.

    Models that stand for it follow within a second. Nobody asks it yet: see its test.
    """
    spec = ProviderSpec(data.base_url, tuple(data.forward_headers), data.timeouts)
    key = None if data.api_key is None else Secret(data.api_key)
    provider, created = services.providers.put(caller.tenant_id, name, spec, key)
    return Response(_shown(provider), status_code=201 if created else 200)


@delete("/{name:str}", summary="Delete a provider", responses=refusals(404), sync_to_thread=True)
def delete_provider(services: Services, caller: Caller, name: Name) -> None:
    """Forget it and its key. Models go on with the other providers that they stand for."""
    services.providers.delete(caller.tenant_id, name)


@post(
    "/{name:str}/test",
    status_code=200,
    summary="Test a provider",
    responses=refusals(404, 409, 422, 501),
    operation_class=Idempotent,
)
async def test_provider(services: Services, caller: Caller, name: Name) -> Probe:
    """Ask it for its models, from this server and with its key. `reason` is empty if it answers."""
    providers = services.providers
    provider, key = await asyncio.to_thread(providers.opened, caller.tenant_id, name)
    return await providers.probe(provider, key)


def _shown(provider: entity.Provider) -> Provider:
    return Provider(
        id=provider.id,
        name=provider.name,
        base_url=provider.spec.base_url,
        has_key=bool(provider.sealed),
        forward_headers=provider.spec.forward_headers,
        timeouts=provider.spec.timeouts,
        created_at=provider.created_at,
        updated_at=provider.updated_at,
    )


providers: Final = Router(
    "/providers",
    route_handlers=[list_providers, show_provider, put_provider, delete_provider, test_provider],
    tags=["providers"],
    opt=needs(Permission.MODELS_READ, Permission.MODELS_WRITE),
)
