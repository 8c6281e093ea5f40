"""How a deployment is served: what its owner may set."""

from __future__ import annotations

from enum import StrEnum
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


class ReplicaOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many processes serve the model, each with a copy of it in memory."""

    min: Annotated[
        int,
        Meta(ge=0, le=64, description="Fewest; 0 lets go of the last one when nobody asks."),
    ] = 1
    max: Annotated[int, Meta(ge=1, le=64, description="Most that load may bring about.")] = 1
    target_concurrency: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Requests at a time that one replica is there for."),
    ] = 4

    def __post_init__(self) -> None:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is over max ({self.max})")


class Engine(StrEnum):
    """What runs a language model. AUTO: what was fastest when the version was registered."""

    AUTO = "auto"
    OPENVINO = "openvino"
    LLAMACPP = "llamacpp"


class LanguageOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a language model is run. What is 0 or empty is left to the server."""

    engine: Annotated[
        Engine, Meta(description="What runs it; `auto` takes what was fastest at registration.")
    ] = Engine.AUTO
    context: Annotated[
        int,
        Meta(ge=0, le=1 << 24, description="Most tokens of a prompt and its answer together."),
    ] = 0
    slots: Annotated[int, Meta(ge=0, le=256, description="Answers that are generated at once.")] = 0
    threads: Annotated[
        int, Meta(ge=0, le=1024, description="Threads that compute; 0 is one for each core.")
    ] = 0
    kv_cache_mb: Annotated[
        int,
        Meta(ge=0, le=1 << 24, description="MiB for the keys and values of all answers at once."),
    ] = 0
    chat_template: Annotated[
        str,
        Meta(max_length=64 << 10, description="A Jinja template in the place of the file's own."),
    ] = ""


class ServingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Batching, admission, caching and replicas of one deployment. Each gateway applies them by
    itself, but for the replicas, which all gateways of a host share.
    """

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
    replicas: Annotated[
        ReplicaOptions | None,
        Meta(
            description="Serve it from processes of its own. If not given, the server does so "
            "where the format or the memory asks for it."
        ),
    ] = None
    pinned: Annotated[
        bool, Meta(description="Whether replicas stay in memory when others need it.")
    ] = False
    idle_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=604_800,
            description="Without a request for so long, replicas beyond the fewest end.",
        ),
    ] = 300.0
    memory_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 42,
            description="Most memory of one replica; 0 leaves it to the server.",
        ),
    ] = 0
    language: Annotated[
        LanguageOptions | None,
        Meta(description="Of a language model: its engine, and what that may take."),
    ] = None
