"""`/api/v1/uploads`: files, before anything is said of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, cast

from litestar import Request, Response, Router, put
from litestar.openapi.datastructures import ResponseSpec

from modelyard.api.asgi import Receive
from modelyard.api.management.admission import LANE, Lane
from modelyard.api.management.dependencies import Caller, Services
from modelyard.api.management.fields import Name
from modelyard.api.management.operations import RawBody
from modelyard.api.management.problems import refusals
from modelyard.core.errors import Invalid
from modelyard.core.uploads import Upload

SILENCE: Final = 60.0
"""Seconds without a byte after which an upload is given up."""


@put(
    "/{digest:str}",
    summary="Upload a file",
    responses={
        **refusals(413),
        201: ResponseSpec(Upload, description="Kept.", generate_examples=False),
    },
    response_description="It was there before.",
    operation_class=RawBody,
    opt={LANE: Lane.UPLOADS},
    request_max_body_size=None,
)
async def upload_file(
    services: Services, caller: Caller, request: Request[Any, Any, Any], digest: Name
) -> Response[Upload]:
    """The body is the file as it is; its SHA-256 is in the path, and is checked.

    The same file again is no error. What the file is gets decided where its digest is named
    next: in a new dataset version or a model's import.
    """
    upload, created = await services.uploads.receive(
        caller.tenant_id, digest, request.content_length, _parts(cast(Receive, request.receive))
    )
    return Response(upload, status_code=201 if created else 200)


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Invalid when it stops coming."""
    more = True
    while more:
        try:
            async with asyncio.timeout(SILENCE):
                message = await receive()
        except TimeoutError:
            raise Invalid(f"no byte of the file came for {SILENCE:g} seconds") from None
        if message["type"] == "http.disconnect":
            raise Invalid("the connection ended before the whole file came")
        yield message.get("body", b"")
        more = message.get("more_body", False)


uploads: Final = Router("/uploads", route_handlers=[upload_file], tags=["uploads"])
