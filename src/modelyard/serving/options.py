"""How a deployment is served: what its owner may set."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class CacheOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The response cache: answers that are kept for equal inputs of the same tenant."""

    max_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 34, description="Bytes kept in each gateway.")
    ] = 64 << 20
    ttl_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="How long an answer is good.")
    ] = 300.0


class ServingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Batching, admission and caching of one deployment. Each gateway applies them by itself."""

    max_batch_size: Annotated[
        int, Meta(ge=1, le=65_536, description="Most rows in one call of the model.")
    ] = 32
    max_delay_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="How long a batch that is not full waits for company; 0: not at all.",
        ),
    ] = 0.0
    max_queue: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Requests that may wait for the model; more are refused with 503.",
        ),
    ] = 256
    timeout_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=3_600_000,
            description="Longest that a request may take; a client may ask for less.",
        ),
    ] = 60_000
    cache: CacheOptions | None = None
