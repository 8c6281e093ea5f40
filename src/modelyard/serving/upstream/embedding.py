"""Texts that a provider embeds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.core.tensors import Tensor
from modelyard.serving.language.relayed import Capability
from modelyard.serving.upstream.chunks import Counted
from modelyard.serving.upstream.conversation import PATHS
from modelyard.serving.upstream.description import EMBEDDING, TOKENS
from modelyard.serving.upstream.failures import Kind, UpstreamFailed
from modelyard.serving.upstream.ports import HttpCalls, read_whole
from modelyard.serving.upstream.refusals import refusal
from modelyard.serving.upstream.target import Target

_CHARACTERS: Final = 4


class _Vector(msgspec.Struct, frozen=True):
    index: int
    embedding: list[float]


class _Embeddings(msgspec.Struct, frozen=True):
    data: list[_Vector]
    usage: Counted | None = None


async def embed(
    calls: HttpCalls,
    target: Target,
    texts: Sequence[str],
    dimensions: int | None,
    most_bytes: int,
) -> dict[str, Tensor]:
    """A vector for each text, and how many tokens they had: all of them are counted at the first
    text, since providers do not tell them apart. Where they tell nothing, they are estimated.

    Raises:
        UpstreamFailed, ModelyardError: see `Pool.pursue`.
    """
    fields: dict[str, Any] = {"input": list(texts), "encoding_format": "float"}
    if dimensions is not None:
        fields["dimensions"] = dimensions
    answer = await calls.open(target.call(PATHS[Capability.EMBEDDINGS], fields))
    try:
        if answer.status != 200:
            raise await refusal(answer, target.provider.name)
        body = await read_whole(answer, most_bytes)
        if body is None:
            raise UpstreamFailed(Kind.MALFORMED, "the answer is too large")
    finally:
        answer.close()
    # Millions of numbers as text take their time.
    vectors, tokens = await asyncio.to_thread(_read, body, len(texts), dimensions)
    counted = np.zeros(len(texts), np.int64)
    counted[0] = sum(map(len, texts)) // _CHARACTERS if tokens is None else tokens
    return {EMBEDDING: vectors, TOKENS: counted}


def _read(body: bytes, count: int, dimensions: int | None) -> tuple[Tensor, int | None]:
    try:
        told = msgspec.json.decode(body, type=_Embeddings)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamFailed(Kind.MALFORMED, "these are no embeddings") from None
    rows = sorted(told.data, key=lambda vector: vector.index)
    widths = {len(row.embedding) for row in rows} | ({dimensions} if dimensions else set())
    if [row.index for row in rows] != list(range(count)) or len(widths) != 1 or 0 in widths:
        raise UpstreamFailed(Kind.MALFORMED, "embeddings of other texts, or of different widths")
    with np.errstate(over="ignore"):
        vectors = np.array([row.embedding for row in rows], np.float32)
    if not np.isfinite(vectors).all():
        raise UpstreamFailed(Kind.MALFORMED, "an embedding with what is no number")
    return vectors, None if told.usage is None else told.usage.prompt_tokens
