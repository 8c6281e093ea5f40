"""The engines of language models, and what each needs for what a deployment asks of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.profile import LanguageProfile
from modelyard.serving.options import Engine, LanguageOptions

MIB: Final = 1 << 20
CONTEXT: Final = 8192
"""Most tokens of prompt and answer together, where the model itself could look at more."""


class Traits(NamedTuple):
    """What is known of an engine.

    `package` is what is imported, `reads` what it says of itself. It takes `weight_factor` times
    the size of the file, and `base` bytes beside. With `paged` the streams share a cache of which
    each takes what it needs; else each has a part of its own from the beginning. For so many
    `slots_a_spare` one tenant can have, there is one more for another.
    """

    package: str
    reads: str
    weight_factor: float
    base: int
    paged: bool
    slots: int
    slots_a_spare: int
    context: int


ENGINES: Final[Mapping[Engine, Traits]] = {
    Engine.OPENVINO: Traits(
        package="openvino_genai",
        reads="Q4_0, Q4_1, Q8_0 and F16 of the Llama and Qwen kinds",
        weight_factor=2.5,
        base=256 * MIB,
        paged=True,
        slots=16,
        slots_a_spare=2,
        context=CONTEXT,
    ),
    Engine.LLAMACPP: Traits(
        package="xllamacpp",
        reads="every GGUF",
        weight_factor=1.1,
        base=128 * MIB,
        paged=False,
        slots=4,
        slots_a_spare=4,
        context=4096,
    ),
}
"""Those that can be chosen; by itself a server tries them in this order."""
_PAGED_ANSWERS: Final = 2
"""Of an engine that gives out its cache in pages: how many full contexts are reckoned with."""


MISSING: Final = (
    "language models need an engine, 'openvino-genai' or 'xllamacpp', and none is installed: "
    "pip install 'modelyard[llm]'"
)


def installed(engine: Engine) -> bool:
    """Whether the engine is here."""
    return importlib.util.find_spec(ENGINES[engine].package) is not None


class Plan(msgspec.Struct, frozen=True):
    """How an engine is to be started. `context` is what one stream may look at, `cache_tokens` how
    many the cache holds (0: as many as turn out to be needed), `threads` 0 is all cores. Of the
    `slots` and `spare` ones, one tenant alone can have the former.

    `weights`, `cache` and `base` are the bytes that it is expected to take for the model, the
    tokens that it looks at, and itself.
    """

    engine: Engine
    context: int
    slots: int
    spare: int
    threads: int
    cache_tokens: int
    weights: int
    cache: int
    base: int

    @property
    def memory(self) -> int:
        """Bytes altogether."""
        return self.weights + self.cache + self.base

    def told(self) -> str:
        """The bytes in words, and what would make them fewer."""
        weights, cache, base = self.weights // MIB, self.cache // MIB, self.base // MIB
        return (
            f"with the engine {self.engine}, {weights} MiB for the weights, {cache} for the cache "
            f"of up to {self.slots + self.spare} streams of {self.context} tokens, {base} for the "
            "engine; lower 'context', 'slots' or 'kv_cache_mb'"
        )


def plan(engine: Engine, facts: LanguageProfile, options: LanguageOptions) -> Plan:
    """How to start an engine so that it does what is asked for.

    Raises:
        Invalid: the options contradict each other, or ask for more than the model can do.
    """
    traits = ENGINES[engine]
    if options.context > facts.context:
        raise Invalid(
            f"a context of {options.context} tokens is asked for, and the model was made for "
            f"{facts.context}: lower 'context'"
        )
    budget = options.kv_cache_mb * MIB // facts.cache_bytes if options.kv_cache_mb else 0
    context = options.context or min(traits.context, facts.context)
    slots = options.slots or traits.slots
    if budget:
        if not traits.paged and not options.slots:
            fitting = budget // context
            slots = max(1, min(slots, fitting - fitting // (traits.slots_a_spare + 1)))
        if not options.context:
            context = min(context, budget // (1 if traits.paged else _all(slots, traits)))
        asked = context * (1 if traits.paged else _all(slots, traits))
        if asked > budget or not context:
            raise Invalid(
                f"'kv_cache_mb' of {options.kv_cache_mb} holds {budget} tokens, and {asked} are "
                "asked for: raise it, or lower 'context' or 'slots'"
            )
    if traits.paged:
        tokens = budget or context * min(slots, _PAGED_ANSWERS)
    else:
        tokens = budget = context * _all(slots, traits)
    return Plan(
        engine=engine,
        context=context,
        slots=slots,
        spare=_all(slots, traits) - slots,
        threads=options.threads,
        cache_tokens=budget,
        weights=int(traits.weight_factor * facts.weight_bytes),
        cache=tokens * facts.cache_bytes,
        base=traits.base,
    )


def _all(slots: int, traits: Traits) -> int:
    """How many streams there are with the spare ones."""
    return slots + slots // traits.slots_a_spare


def chosen(options: LanguageOptions, facts: LanguageProfile | None) -> Engine:
    """The engine that is asked for, or else the one that was fastest; `AUTO` if nobody knows."""
    if options.engine is not Engine.AUTO or facts is None or not facts.engines:
        return options.engine
    return Engine(facts.engines[0])
