"""What a model version costs to hold and to call, as measured when it was tried."""

from __future__ import annotations

import msgspec


class LanguageProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a language model from its file, and from trying it.

    `engines` are those that load it, the fastest first. `context` is the most tokens that it was
    made to look at; each takes `cache_bytes` in the cache of keys and values. `weight_bytes` is
    the size of the file.
    """

    engines: tuple[str, ...]
    context: int
    cache_bytes: int
    weight_bytes: int


class Profile(msgspec.Struct, frozen=True):
    """`memory_bytes` is what loading the model took. A call on n rows takes about `call_seconds`
    and n times `row_seconds`. `stackable`: each row is answered by itself, so rows of several
    requests may share a call.
    """

    memory_bytes: int
    call_seconds: float
    row_seconds: float
    stackable: bool = False
    language: LanguageProfile | None = None
