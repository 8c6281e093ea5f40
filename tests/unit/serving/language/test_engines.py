from __future__ import annotations

import pytest

from modelyard.core.errors import Invalid
from modelyard.core.profile import LanguageProfile
from modelyard.serving.language.engines import MIB, chosen, plan
from modelyard.serving.options import Engine, LanguageOptions

FACTS = LanguageProfile(("llamacpp", "openvino"), 8192, 16 << 10, 100 * MIB)
"""64 tokens in a MiB of cache."""


def test_a_stream_of_llama_cpp_has_its_part_of_the_cache_from_the_beginning() -> None:
    told = plan(Engine.LLAMACPP, FACTS, LanguageOptions(context=1024, slots=16))
    assert (told.context, told.slots, told.spare, told.cache_tokens) == (1024, 16, 4, 20480)
    assert told.cache == 320 * MIB
    assert told.memory == told.weights + told.cache + told.base > 420 * MIB


def test_what_is_not_asked_for_is_the_engines_own() -> None:
    paged = plan(Engine.OPENVINO, FACTS, LanguageOptions())
    parted = plan(Engine.LLAMACPP, FACTS, LanguageOptions())
    assert (paged.context, paged.slots, paged.cache_tokens) == (8192, 16, 0)
    assert (parted.context, parted.slots, parted.cache_tokens) == (4096, 4, 5 * 4096)


def test_a_small_cache_makes_fewer_streams_and_then_a_shorter_context() -> None:
    fewer = plan(Engine.LLAMACPP, FACTS, LanguageOptions(kv_cache_mb=130))
    assert (fewer.context, fewer.slots) == (4096, 2)
    shorter = plan(Engine.LLAMACPP, FACTS, LanguageOptions(kv_cache_mb=32))
    assert (shorter.context, shorter.slots) == (2048, 1)
    paged = plan(Engine.OPENVINO, FACTS, LanguageOptions(kv_cache_mb=32))
    assert (paged.context, paged.slots, paged.cache_tokens) == (2048, 16, 2048)
    assert paged.cache == 32 * MIB


@pytest.mark.parametrize(
    ("engine", "options", "reason"),
    [
        (Engine.OPENVINO, LanguageOptions(context=9000), "9000.*8192: lower 'context'"),
        (
            Engine.LLAMACPP,
            LanguageOptions(context=1024, slots=16, kv_cache_mb=100),
            "100 holds 6400 tokens, and 20480 are asked for",
        ),
        (Engine.OPENVINO, LanguageOptions(context=8192, kv_cache_mb=64), "4096 tokens, and 8192"),
    ],
)
def test_what_cannot_be_is_refused_with_the_numbers(
    engine: Engine, options: LanguageOptions, reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        plan(engine, FACTS, options)


def test_auto_is_the_fastest_that_was_measured() -> None:
    assert chosen(LanguageOptions(), FACTS) is Engine.LLAMACPP
    assert chosen(LanguageOptions(engine=Engine.OPENVINO), FACTS) is Engine.OPENVINO
    assert chosen(LanguageOptions(), None) is Engine.AUTO
