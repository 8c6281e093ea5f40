"""The API's description: OpenAPI 3.1, made from the routes themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme, Tag

from modelyard import __version__

_INTRODUCTION: Final = """Train or import models, deploy them, hand out keys, read usage and cost.

Every request needs a key: `Authorization: Bearer my_...` (or `X-API-Key`). These routes need one
of scope `manage`.

**Lists** come in pages: `limit` (1 to 200) items, then `next_cursor`, which is null on the last
page; send it as `cursor` for the next one.

**Failures** are `application/problem+json` (RFC 9457). `code` is stable; `detail` is for people.

**Times** are ISO 8601 in UTC. **Money** is text, exact to the last digit.

**Bodies** are `application/json` of at most 1 MiB, with no unknown fields; uploads are the file.
"""
_TAGS: Final = {
    "uploads": "Hand over a file, then name it by its SHA-256.",
    "datasets": "Named, versioned tables with an inferred schema.",
    "jobs": "Training, and the story that each job tells meanwhile.",
    "models": "Models, their immutable versions, and aliases that point at them.",
    "deployments": "What is served under which name.",
    "keys": "Who may call.",
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
                        type="http", scheme="bearer", description="A key of scope `manage`."
                    )
                }
            ),
            security=[{"key": []}],
            use_handler_docstrings=True,
            create_examples=False,
        ),
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )
    return msgspec.json.encode(application.openapi_schema.to_schema())
