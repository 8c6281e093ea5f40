"""GGUF files as small as they can be, to be broken in every way."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

U32, F32, BOOL, STRING, ARRAY, U64 = 4, 6, 7, 8, 9, 10
TOKENS = [f"t{number}" for number in range(32)]


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def number(kind: int, value: float) -> bytes:
    return struct.pack("<" + {U32: "I", F32: "f", BOOL: "B", U64: "Q"}[kind], value)


def array(kind: int, values: Sequence[Any]) -> bytes:
    one = text if kind == STRING else lambda value: number(kind, value)
    return struct.pack("<IQ", kind, len(values)) + b"".join(one(value) for value in values)


def entry(key: str, kind: int, value: Any) -> bytes:
    match kind:
        case 8:
            raw = text(value)
        case 9:
            raw = array(*value)
        case _:
            raw = number(kind, value)
    return text(key) + struct.pack("<I", kind) + raw


METADATA: Mapping[str, tuple[int, Any]] = {
    "general.architecture": (STRING, "llama"),
    "general.name": (STRING, "Tiny"),
    "llama.block_count": (U32, 2),
    "llama.embedding_length": (U32, 32),
    "llama.context_length": (U32, 64),
    "llama.attention.head_count": (U32, 4),
    "llama.attention.head_count_kv": (U32, 2),
    "tokenizer.ggml.tokens": (ARRAY, (STRING, TOKENS)),
    "tokenizer.ggml.scores": (ARRAY, (F32, [0.0] * len(TOKENS))),
    "tokenizer.ggml.eos_token_id": (U32, 2),
    "tokenizer.ggml.add_bos_token": (BOOL, 1),
    "tokenizer.chat_template": (STRING, "{{ messages }}"),
}
TENSORS: Sequence[tuple[str, tuple[int, ...], int, int]] = (
    ("token_embd.weight", (32, 32), 0, 0),
    ("output.weight", (32, 32), 2, 4096),
)
"""Name, shape, type and offset; 4096 bytes of F32, then 576 of Q4_0."""


def gguf_file(
    metadata: Mapping[str, tuple[int, Any]] = METADATA,
    tensors: Sequence[tuple[str, tuple[int, ...], int, int]] = TENSORS,
    *,
    changes: Mapping[str, tuple[int, Any] | None] | None = None,
    version: int = 3,
    data: int = 4096 + 576,
) -> bytes:
    """A whole file; `changes` replaces entries of the metadata, or with None takes them away."""
    merged = {**metadata, **(changes or {})}
    entries = [entry(key, *told) for key, told in merged.items() if told is not None]
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries)) + b"".join(entries)
    for name, shape, kind, offset in tensors:
        head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", kind, offset)
    return head + bytes(-len(head) % 32) + bytes(data)
