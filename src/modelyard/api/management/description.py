"""The API's description: OpenAPI 3.1, made from the routes themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme, Tag

from modelyard import __version__

_INTRODUCTION: Final = """Train or import models, deploy them, hand out keys, read usage and cost.

Every request needs a key: `Authorization: Bearer my_...` (or `X-API-Key`), of a scope that holds
what the route needs; `manage` holds all that can be done within a tenant. A key acts in its own
tenant. The operator's acts in any: `X-Modelyard-Tenant` names it.

**Lists** come in pages: `limit` (1 to 200) items, then `next_cursor`, which is null on the last
page; send it as `cursor` for the next one.

**Failures** are `application/problem+json` (RFC 9457). `code` is stable; `detail` is for people.

**Times** are ISO 8601 in UTC. **Money** is text, exact to the last digit.

**Bodies** are `application/json` of at most 1 MiB, with no unknown fields; uploads are the file.
"""
_PAGE_NAME: Final = re.compile(rb"Page_[a-z_.]+\.([A-Za-z]+)_")
"""What Litestar calls a generic's schema: with the module, which is nobody else's business."""
_TAGS: Final = {
    "uploads": "Hand over a file, then name it by its SHA-256.",
    "datasets": "Named, versioned tables with an inferred schema.",
    "jobs": "Training, and the story that each job tells meanwhile.",
    "models": "Models, their immutable versions, and aliases that point at them.",
    "providers": "Others' OpenAI APIs, which models may stand for.",
    "deployments": "What is served under which name.",
    "catalogue": "Deployments that tenants offer each other.",
    "tenants": "Who owns models, holds keys and pays bills.",
    "people": "Who logs in with a password, and what they are in the tenant.",
    "keys": "Who may call.",
    "quotas": "Limits and budgets of keys and tenants.",
    "billing": "Prices, and usage with its cost.",
}


def describe(routes: Router, dependencies: Mapping[str, Provide]) -> bytes:
    """The description as JSON.

    `dependencies` are those that the routes are served with: what a request need not send.
    """
    application = Litestar(
        [routes],
        dependencies=dict(dependencies),
        openapi_config=OpenAPIConfig(
            title="Modelyard management API",
            version=__version__,
            description=_INTRODUCTION,
            license=License(name="Apache-2.0", identifier="Apache-2.0"),
            tags=[Tag(name=name, description=text) for name, text in _TAGS.items()],
            components=Components(
                security_schemes={
                    "key": SecurityScheme(
                        type="http",
                        scheme="bearer",
                        description="A key; `manage` reaches all but the operator's routes.",
                    )
                }
            ),
            security=[{"key": []}],
            use_handler_docstrings=True,
            create_examples=False,
            operation_id_creator=_operation_id,
        ),
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )
    return _PAGE_NAME.sub(
        rb"PageOf\1", msgspec.json.encode(_closed(application.openapi_schema.to_schema()))
    )


def _operation_id(handler: HTTPRouteHandler, _method: Any, _path: list[Any]) -> str:
    return handler.handler_name


def _closed(description: dict[str, Any]) -> dict[str, Any]:
    """Say of the request bodies that they hold no unknown fields; Litestar leaves it out."""
    schemas = description["components"]["schemas"]
    for path in description["paths"].values():
        for operation in path.values():
            content = operation.get("requestBody", {}).get("content", {})
            reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
            if reference:
                schemas[reference.rpartition("/")[2]]["additionalProperties"] = False
    return description
