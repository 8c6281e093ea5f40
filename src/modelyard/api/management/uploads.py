"""`/api/v1/uploads`: files, before anything is said of them.

An upload that broke is resumed with the header fields of the IETF's draft "Resumable Uploads for
HTTP": HEAD tells how many bytes are there, PATCH sends the rest behind them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, cast

from litestar import Request, Response, Router, delete, head, patch, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter

from modelyard.api.asgi import Receive
from modelyard.api.management.admission import LANE, Lane
from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Services
from modelyard.api.management.fields import Name
from modelyard.api.management.operations import RawBody
from modelyard.api.management.problems import refusals
from modelyard.api.management.receiving import Part, Received
from modelyard.core.access import Permission
from modelyard.core.errors import Interrupted, Invalid
from modelyard.core.uploads import Upload

SILENCE: Final = 60.0
"""Seconds without a byte after which an upload is given up."""

_YES, _NO = "?1", "?0"
Offset = Annotated[
    int,
    HeaderParameter(
        name="Upload-Offset", ge=0, le=2**53, description="How many bytes are there already."
    ),
]
Complete = Annotated[
    str,
    HeaderParameter(
        name="Upload-Complete",
        pattern=r"^\?[01]$",
        description="`?1`: with this body the file is whole. `?0`: more will follow.",
    ),
]


@put(
    "/{digest:str}",
    summary="Upload a file",
    responses={
        **refusals(413, 507),
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

    The same file again is no error. When the connection breaks, what has come is kept for a day:
    `HEAD` tells how much, and `PATCH` sends the rest. What the file is gets decided where its
    digest is named next: in a new dataset version or a model's import.
    """
    part = Part(length=request.content_length)
    received = await services.uploads.receive(caller.tenant_id, digest, part, _content(request))
    return cast(Response[Upload], _response(received))


@patch(
    "/{digest:str}",
    summary="Resume an upload",
    responses={
        **refusals(404, 409, 413, 507),
        201: ResponseSpec(Upload, description="The file is whole, and kept.",
                          generate_examples=False),
        204: ResponseSpec(None, description="Taken; more is to follow.", generate_examples=False),
    },
    response_description="The file is whole; it was there before.",
    operation_class=RawBody,
    opt={LANE: Lane.UPLOADS},
    request_max_body_size=None,
)  # fmt: skip
async def resume_upload(
    services: Services,
    caller: Caller,
    request: Request[Any, Any, Any],
    digest: Name,
    offset: Offset,
    complete: Complete = _YES,
) -> Response[Any]:
    """The body is the file from `Upload-Offset` on, as much of it as the request wants to send.

    409 when another number of bytes is there: ask again with `HEAD`.
    """
    part = Part(offset, request.content_length, last=complete == _YES)
    received = await services.uploads.receive(caller.tenant_id, digest, part, _content(request))
    return _response(received)


@head(
    "/{digest:str}",
    summary="Ask how much of a file is there",
    responses=refusals(404),
    sync_to_thread=True,
)
def show_upload(services: Services, caller: Caller, digest: Name) -> Response[None]:
    """`Upload-Offset` is how many bytes are there, `Upload-Complete` whether that is all."""
    state = services.uploads.state(caller.tenant_id, digest)
    return Response(None, headers=_headers(state))


@delete("/{digest:str}", summary="Give up an upload", responses=refusals(404), sync_to_thread=True)
def drop_upload(services: Services, caller: Caller, digest: Name) -> None:
    """What has come of it is dropped. A file that is whole stays."""
    services.uploads.drop(caller.tenant_id, digest)


def _response(received: Received) -> Response[Any]:
    if received.upload is None:
        return Response(None, status_code=204, headers=_headers(received))
    return Response(
        received.upload, status_code=201 if received.created else 200, headers=_headers(received)
    )


def _headers(received: Received) -> dict[str, str]:
    return {
        "Upload-Offset": str(received.offset),
        "Upload-Complete": _NO if received.upload is None else _YES,
        "Cache-Control": "no-store",
    }


def _content(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    return _parts(cast(Receive, request.receive))


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Interrupted when it stops coming."""
    more = True
    while more:
        try:
            async with asyncio.timeout(SILENCE):
                message = await receive()
        except TimeoutError:
            raise Interrupted(f"no byte of the file came for {SILENCE:g} seconds") from None
        except Invalid as error:
            # Below us the connection was found too slow, or broken in the middle of a chunk.
            raise Interrupted(error.message) from None
        if message["type"] == "http.disconnect":
            raise Interrupted("the connection ended before the whole file came")
        yield message.get("body", b"")
        more = message.get("more_body", False)


uploads: Final = Router(
    "/uploads",
    route_handlers=[upload_file, resume_upload, show_upload, drop_upload],
    tags=["uploads"],
    opt=needs(Permission.MODELS_READ, Permission.MODELS_WRITE),
)
