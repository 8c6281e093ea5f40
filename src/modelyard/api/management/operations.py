"""What the description of an operation says beyond what its handler declares."""

from __future__ import annotations

from dataclasses import dataclass

from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
)

from modelyard.api.management.idempotency import MAX_KEY


@dataclass
class Idempotent(Operation):
    """A POST: takes an `Idempotency-Key`."""

    def __post_init__(self) -> None:
        key = Parameter(
            name="Idempotency-Key",
            param_in="header",
            schema=Schema(type=OpenAPIType.STRING, min_length=1, max_length=MAX_KEY),
            description=(
                "Makes it safe to send the request again. The same key with the same request "
                "gets the first answer again, with `Idempotent-Replayed: true`; while the first "
                "is at work, 409; with another request, 422. Kept for 48 hours."
            ),
            required=False,
        )
        self.parameters = [*(self.parameters or []), key]


@dataclass
class Streaming(Operation):
    """A GET that can also answer with a stream of events."""

    def __post_init__(self) -> None:
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse) and answer.content is not None:
            schema = Schema(type=OpenAPIType.STRING)
            answer.content["text/event-stream"] = OpenAPIMediaType(schema=schema)


@dataclass
class RawBody(Operation):
    """A PUT of bytes."""

    def __post_init__(self) -> None:
        schema = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        self.request_body = RequestBody(
            content={"application/octet-stream": OpenAPIMediaType(schema=schema)},
            description="The file's bytes. Any media type is taken.",
            required=True,
        )
