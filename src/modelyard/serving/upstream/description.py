"""The artifact of a model that runs elsewhere: which models of which providers it stands for.

{"upstreams": [{"provider": "openai", "model": "gpt-4o-mini", "weight": 3},
               {"provider": "azure", "model": "gpt-4o-mini"},
               {"provider": "ollama", "model": "llama3", "order": 1}],
 "capabilities": ["chat"]}
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.serving.language.model import SIGNATURE
from modelyard.serving.language.relayed import Capability

MAX_BYTES: Final = 64 << 10
TEXT: Final = "text"
EMBEDDING: Final = "embedding"
TOKENS: Final = "tokens"


class Upstream(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A model of a provider. Those of the lowest `order` are asked first, each as often as its
    `weight` has it; those of the next when none of them answers.
    """

    provider: Annotated[str, Meta(min_length=1, max_length=63)]
    model: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[!-~]+$")]
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1
    order: Annotated[int, Meta(ge=0, le=15)] = 0

    @property
    def name(self) -> str:
        """How it is told."""
        return f"{self.provider}/{self.model}"


class Description(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the file holds. `dimensions` is asked of a model that embeds; its own, if not given."""

    upstreams: Annotated[tuple[Upstream, ...], Meta(min_length=1, max_length=16)]
    capabilities: Annotated[tuple[Capability, ...], Meta(min_length=1, max_length=3)] = (
        Capability.CHAT,
    )
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None

    @property
    def embeds(self) -> bool:
        """Whether it gives vectors, and not text."""
        return Capability.EMBEDDINGS in self.capabilities

    @property
    def signature(self) -> Signature:
        """What it takes and gives where it is asked as any other model."""
        if not self.embeds:
            return SIGNATURE
        width = -1 if self.dimensions is None else self.dimensions
        return Signature(
            (TensorSpec(TEXT, Datatype.BYTES, (-1,)),),
            (
                TensorSpec(EMBEDDING, Datatype.FP32, (-1, width)),
                TensorSpec(TOKENS, Datatype.INT64, (-1,)),
            ),
        )


def read_description(data: bytes) -> Description:
    """Raises Invalid: it is no such file; says of which field."""
    if len(data) > MAX_BYTES:
        raise Invalid(f"a description of upstreams has at most {MAX_BYTES} bytes")
    try:
        told = msgspec.json.decode(data, type=Description)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"this is no description of upstreams: {error}") from None
    if len({one.name for one in told.upstreams}) != len(told.upstreams):
        raise Invalid("a model of a provider is named twice")
    if told.embeds and len(set(told.capabilities)) > 1:
        raise Invalid("what embeds does not talk: 'embeddings' stands alone in capabilities")
    if told.dimensions is not None and not told.embeds:
        raise Invalid("dimensions are for a model that embeds")
    return told
