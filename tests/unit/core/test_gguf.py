"""GGUF files: what is told of a sound one, and that no damaged one gets past."""

import os
import random
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from modelyard.core.errors import Invalid, ModelyardError, UnsupportedFormat
from modelyard.core.gguf.language import LanguageFacts, read_language_model
from tests.gguf_files import (
    ARRAY,
    F32,
    METADATA,
    STRING,
    TENSORS,
    TOKENS,
    U32,
    gguf_file,
    text,
)

MUTANTS = int(os.environ.get("MODELYARD_TEST_MUTANTS", "1000"))


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read_bytes(data: bytes) -> LanguageFacts:
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        return read_language_model(path)

    return read_bytes


def test_a_sound_file_tells_what_it_is(read: Any) -> None:
    facts = read(gguf_file())

    assert facts == LanguageFacts(
        architecture="llama",
        name="Tiny",
        parameters=2048,
        quantisation="F32",
        layers=2,
        width=32,
        context=64,
        vocabulary=32,
        chat_template=True,
        file_bytes=len(gguf_file()),
        # Two layers with two pairs of heads, keys and values of 8 numbers each, in two bytes.
        cache_bytes=2 * 2 * (8 + 8) * 2,
    )


def test_memory_grows_with_the_context(read: Any) -> None:
    facts = read(gguf_file())

    assert facts.memory(1000) - facts.memory(0) == 1000 * facts.cache_bytes


def test_heads_may_be_given_layer_by_layer(read: Any) -> None:
    changes = {"llama.attention.head_count_kv": (ARRAY, (U32, [0, 4]))}

    assert read(gguf_file(changes=changes)).cache_bytes == 2 * 4 * (8 + 8) * 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a GGUF file"),
        (b"PK\x03\x04" + bytes(100), "not a GGUF file"),
        (gguf_file(version=1), "version 1"),
        (gguf_file()[:4] + struct.pack(">I", 3) + gguf_file()[8:], "little-endian"),
    ],
)
def test_other_files_are_refused_by_name(read: Any, data: bytes, said: str) -> None:
    with pytest.raises(UnsupportedFormat, match=said):
        read(data)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"general.architecture": None}, "architecture"),
        ({"general.architecture": (STRING, "../x")}, "no name"),
        ({"llama.block_count": (U32, 0)}, "block_count"),
        ({"llama.block_count": (F32, 2.0)}, "block_count"),
        ({"llama.context_length": (U32, 1 << 31)}, "context_length"),
        ({"llama.attention.head_count_kv": (ARRAY, (U32, [0, 0]))}, "head_count_kv"),
        ({"llama.embedding_length": (U32, 64)}, "embedding of its tokens"),
        ({"tokenizer.ggml.tokens": None}, "no vocabulary"),
        ({"tokenizer.ggml.tokens": (ARRAY, (STRING, TOKENS[:3]))}, "scores"),
        ({"tokenizer.ggml.eos_token_id": (U32, 32)}, "eos token is 32"),
        ({"tokenizer.chat_template": (STRING, "x" * 300_000)}, "chat_template"),
        ({"tokenizer.chat_template": (U32, 7)}, "chat_template"),
        ({"general.alignment": (U32, 24)}, "general.alignment"),
        ({"general.alignment": (U32, 0)}, "general.alignment"),
        ({"bad\x07key": (U32, 1)}, "printable"),
    ],
)
def test_metadata_that_cannot_be_is_refused(read: Any, changes: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read(gguf_file(changes=changes))


def test_a_key_that_comes_twice_is_refused(read: Any) -> None:
    twin = gguf_file(metadata={**METADATA, "general.nam": (STRING, "x"), "general.name": (U32, 1)})

    with pytest.raises(Invalid, match="twice"):
        read(twin.replace(text("general.nam"), text("general.name"), 1)[: len(twin)])


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ([("a" * 200, (32, 32), 0, 0)], "printable"),
        ([("a", (), 0, 0)], "dimensions"),
        ([("a", (1, 1, 1, 1, 1), 0, 0)], "dimensions"),
        ([("a", (0, 32), 0, 0)], "shape"),
        ([("a", (1 << 40, 1 << 40), 0, 0)], "shape"),
        ([("a", (32, 32), 4, 0)], "unknown type"),
        ([("a", (33, 32), 2, 0)], "no multiple"),
        ([("a", (32, 32), 0, 8)], "not on 32"),
        ([("a", (32, 32), 0, 1 << 62)], "cut short"),
        ([*TENSORS, ("third", (32, 32), 0, 64)], "within another"),
        ([TENSORS[0], TENSORS[0]], "same name"),
        ([*TENSORS[:1], ("output.weight", (32, 64), 2, 4096)], "cut short"),
    ],
)
def test_tensors_that_cannot_be_are_refused(read: Any, tensors: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read(gguf_file(tensors=tensors))


def test_a_file_that_was_cut_short_is_refused_wherever_it_was_cut(read: Any) -> None:
    whole = gguf_file()

    for size in range(0, len(whole), 37):
        with pytest.raises(ModelyardError):
            read(whole[:size])


@pytest.mark.parametrize("at", [8, 16])
def test_counts_without_end_cost_nothing(read: Any, at: int) -> None:
    data = bytearray(gguf_file())
    data[at : at + 8] = struct.pack("<Q", 1 << 63)

    with pytest.raises(Invalid, match="at most"):
        read(bytes(data))


def test_lengths_without_end_cost_no_memory(read: Any) -> None:
    whole = gguf_file()
    array = whole.index(text("tokenizer.ggml.tokens")) + len(text("tokenizer.ggml.tokens")) + 8
    tracemalloc.start()
    for at, length in ((24, 1 << 62), (array, 1 << 62), (array, (1 << 22) - 1)):
        data = bytearray(whole)
        data[at : at + 8] = struct.pack("<Q", length)
        with pytest.raises(Invalid):
            read(bytes(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 8 << 20


def test_mutants_are_taken_or_refused_and_nothing_else(read: Any) -> None:
    """Bits turned, bytes overwritten, parts cut out or doubled."""
    whole = gguf_file()
    head = len(whole) - 4096 - 576
    taken = 0
    for seed in range(MUTANTS):
        try:
            facts = read(mutant(whole, head, random.Random(seed)))
        except ModelyardError:
            continue
        taken += 1
        assert facts.memory(facts.context) > 0
        assert facts.parameters <= 1 << 50

    assert taken < MUTANTS / 2


def mutant(whole: bytes, head: int, chance: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(4, head)
        match chance.randrange(5):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + 4] = struct.pack("<I", chance.choice([0, 1, 7, 1 << 31, 2**32 - 1]))
            case 2:
                data[at : at + 8] = struct.pack("<Q", chance.choice([0, 2**63, 2**64 - 1, 1 << 40]))
            case 3:
                del data[at : at + chance.randint(1, 64)]
            case _:
                data[at:at] = data[at : at + chance.randint(1, 64)]
    return bytes(data)
