"""GGUF files as small as they can be, to be broken in every way."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
TOKENS = [f"t{number}" for number in range(32)]


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def number(kind: int, value: float) -> bytes:
    return struct.pack("<" + {U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q"}[kind], value)


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


def _byte_letters() -> list[str]:
    """The letter that stands for each byte in GPT-2's vocabulary: itself where it can be seen."""
    seen = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in seen else next(others)) for byte in range(256)]


def whole_model() -> bytes:
    """A model of two layers that both engines really load: all tensors, in F32 or F16, and zero."""
    sizes: list[tuple[str, tuple[int, ...]]] = [("token_embd.weight", (32, 300))]
    for layer in range(2):
        sizes += [
            (f"blk.{layer}.{name}.weight", shape)
            for name, shape in (
                ("attn_norm", (32,)),
                ("attn_q", (32, 32)),
                ("attn_k", (32, 16)),
                ("attn_v", (32, 16)),
                ("attn_output", (32, 32)),
                ("ffn_norm", (32,)),
                ("ffn_gate", (32, 64)),
                ("ffn_up", (32, 64)),
                ("ffn_down", (64, 32)),
            )
        ]
    sizes += [("output_norm.weight", (32,)), ("output.weight", (32, 300))]
    tensors, at = [], 0
    for name, shape in sizes:
        kind = 0 if len(shape) == 1 else 1
        tensors.append((name, shape, kind, at))
        at += (4, 2)[kind] * math.prod(shape)
    tokens = ["<unk>", "<s>", "</s>", *_byte_letters()]
    tokens += [f"t{number}" for number in range(300 - len(tokens))]
    kinds = [3, 3, 3, *([1] * (300 - 3))]
    changes: dict[str, tuple[int, Any]] = {
        "llama.feed_forward_length": (U32, 64),
        "llama.rope.dimension_count": (U32, 8),
        "llama.rope.freq_base": (F32, 10_000.0),
        "general.file_type": (U32, 1),
        "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.pre": (STRING, "smollm"),
        "tokenizer.ggml.merges": (ARRAY, (STRING, ["t 1"])),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
        "tokenizer.ggml.scores": (ARRAY, (F32, [0.0] * 300)),
        "tokenizer.ggml.token_type": (ARRAY, (I32, kinds)),
        "tokenizer.ggml.bos_token_id": (U32, 1),
        "tokenizer.ggml.unknown_token_id": (U32, 0),
        "tokenizer.ggml.padding_token_id": (U32, 2),
        "tokenizer.chat_template": (STRING, "{{ messages[0]['content'] }}"),
        "llama.context_length": (U32, 512),
    }
    return gguf_file(tensors=tensors, changes=changes, data=at)
