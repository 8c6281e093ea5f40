"""What the head of a language model's file tells: its size, its context, the memory it takes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.gguf.header import Header, read_header
from modelyard.core.gguf.reading import Numbers, Strings

MAX_LAYERS: Final = 1024
MAX_WIDTH: Final = 1 << 18
MAX_HEADS: Final = 4096
MAX_CONTEXT: Final = 1 << 26
MAX_VOCABULARY: Final = 1 << 21
MAX_TEMPLATE: Final = 256 << 10

_TOKENS: Final = "tokenizer.ggml.tokens"
_OF_VOCABULARY: Final = ("tokenizer.ggml.scores", "tokenizer.ggml.token_type")
_TOKEN_IDS: Final = ("bos", "eos", "unknown", "padding", "separator", "mask", "eot", "eom")
_KV_ELEMENT: Final = 2
"""Bytes of a number in the cache of keys and values (F16)."""
_SCRATCH: Final = 96 << 20
"""Bytes that an engine takes beside weights and cache, about."""


class LanguageFacts(msgspec.Struct, frozen=True):
    """A language model, by its own file.

    `context` is in tokens, `cache_bytes` is what one token takes in the cache of keys and values.
    """

    architecture: str
    name: str
    parameters: int
    quantisation: str
    layers: int
    width: int
    context: int
    vocabulary: int
    chat_template: bool
    file_bytes: int
    cache_bytes: int

    def memory(self, tokens: int) -> int:
        """Bytes that it takes, about, with room for so many tokens in its cache."""
        return self.file_bytes + self.cache_bytes * tokens + _SCRATCH


def read_language_model(path: Path) -> LanguageFacts:
    """The facts of a file whose head is sound.

    Raises:
        UnsupportedFormat: not a GGUF file, or one of another version.
        Invalid: a damaged file, or none of a language model.
    """
    return facts_of(read_header(path), path.stat().st_size)


def facts_of(header: Header, size: int) -> LanguageFacts:
    """The facts that a head tells of a file of `size` bytes.

    Raises:
        Invalid: no language model, or its numbers contradict each other.
    """
    told = _Told(header)
    architecture = told.text("general.architecture")
    if not architecture.replace("-", "").replace("_", "").isalnum() or len(architecture) > 40:
        raise Invalid(f"general.architecture is {architecture[:40]!r}, which is no name")
    layers = told.size(f"{architecture}.block_count", MAX_LAYERS)
    width = told.size(f"{architecture}.embedding_length", MAX_WIDTH)
    heads = told.largest(f"{architecture}.attention.head_count", MAX_HEADS)
    pairs = told.largest(f"{architecture}.attention.head_count_kv", MAX_HEADS, heads)
    key = told.size(f"{architecture}.attention.key_length", MAX_WIDTH, max(width // heads, 1))
    value = told.size(f"{architecture}.attention.value_length", MAX_WIDTH, key)
    vocabulary = _vocabulary(told)
    embedding = next((t for t in header.tensors if t.name == "token_embd.weight"), None)
    if embedding is None or embedding.shape != (width, vocabulary):
        raise Invalid(
            f"the embedding of its tokens is not {width} numbers for each of {vocabulary}: "
            "this is no language model, or a part of one"
        )
    template = told.optional_text("tokenizer.chat_template", MAX_TEMPLATE)
    return LanguageFacts(
        architecture=architecture,
        name=told.optional_text("general.name", 200).strip(),
        parameters=sum(tensor.elements for tensor in header.tensors),
        quantisation=_quantisation(header),
        layers=layers,
        width=width,
        context=told.size(f"{architecture}.context_length", MAX_CONTEXT),
        vocabulary=vocabulary,
        chat_template=bool(template.strip()),
        file_bytes=size,
        cache_bytes=layers * pairs * (key + value) * _KV_ELEMENT,
    )


class _Told:
    """A head's metadata, each value of the kind and the size that is asked for."""

    def __init__(self, header: Header) -> None:
        self._metadata = header.metadata

    def text(self, key: str) -> str:
        value = self._metadata.get(key)
        if not isinstance(value, str) or not value:
            raise Invalid(f"the metadata has no text for '{key}'")
        return value

    def optional_text(self, key: str, most: int) -> str:
        value = self._metadata.get(key, "")
        if not isinstance(value, str) or len(value) > most:
            raise Invalid(f"'{key}' must be a text of at most {most} characters")
        return value

    def size(self, key: str, most: int, default: int = 0) -> int:
        value = self._metadata.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise Invalid(f"'{key}' must be a number from 1 to {most}, not {value!r:.40}")
        return value

    def largest(self, key: str, most: int, default: int = 0) -> int:
        """As `size`; some architectures give a number for each layer."""
        value = self._metadata.get(key)
        if not isinstance(value, Numbers):
            return self.size(key, most, default)
        whole = [each for each in value.values if isinstance(each, int) and 0 <= each <= most]
        if len(whole) != value.length or not any(whole):
            raise Invalid(f"'{key}' must hold numbers from 0 to {most}")
        return max(whole)

    def count(self, key: str) -> int | None:
        """How long an array is; None if there is none."""
        value = self._metadata.get(key)
        return value.length if isinstance(value, Strings | Numbers) else None

    def token(self, key: str) -> int | None:
        value = self._metadata.get(key)
        return value if isinstance(value, int) else None


def _vocabulary(told: _Told) -> int:
    vocabulary = told.count(_TOKENS)
    if vocabulary is None or not 1 <= vocabulary <= MAX_VOCABULARY:
        raise Invalid("it has no vocabulary: this is no language model that can be served")
    for key in _OF_VOCABULARY:
        count = told.count(key)
        if count is not None and count != vocabulary:
            raise Invalid(f"'{key}' has {count} elements for {vocabulary} tokens")
    for name in _TOKEN_IDS:
        token = told.token(f"tokenizer.ggml.{name}_token_id")
        # -1, also written as an unsigned number, means that there is none.
        if token is not None and token not in (-1, 0xFFFFFFFF) and not 0 <= token < vocabulary:
            raise Invalid(f"the {name} token is {token}, and there are {vocabulary}")
    return vocabulary


def _quantisation(header: Header) -> str:
    """The type that most of the numbers are kept in."""
    share: Counter[str] = Counter()
    for tensor in header.tensors:
        share[tensor.layout.name] += tensor.elements
    return share.most_common(1)[0][0]
