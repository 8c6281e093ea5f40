"""Trying models of language: whether their files are sound, they load, and they answer."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

from modelyard.core.errors import Invalid
from modelyard.core.gguf.language import LanguageFacts, read_language_model
from modelyard.core.profile import Profile
from modelyard.registry.card import Card
from modelyard.serving.language.generation import (
    Finish,
    Generation,
    LanguageModel,
    Message,
    Role,
    Sampling,
)
from modelyard.serving.language.model import SIGNATURE
from modelyard.serving.runtimes.catalogue import load
from modelyard.serving.runtimes.contract import RuntimeManifest
from modelyard.serving.upstream.description import read_description
from modelyard.training.trained import Examined

TOKENS: Final = 8
"""How many are generated to see that it answers."""
ANSWERS: Final = 2
"""How many answers of full length the memory is reckoned for that a replica is expected to take."""


def examine_language_model(folder: Path, manifest: RuntimeManifest) -> Examined:
    """Read the file's head, load the model, and have it answer.

    Raises:
        CannotLoad, Invalid: it is no good; the message says why.
        NotInstalled: the engine is missing here.
    """
    facts = read_language_model(manifest.path(folder))
    model = load(folder, manifest)
    if not isinstance(model, LanguageModel):
        raise Invalid("it is no language model")
    try:
        asked = Generation((Message(Role.USER, "Hello"),), sampling=Sampling(max_tokens=TOKENS))
        end = list(model.generate(asked))[-1]
    finally:
        model.unload()
    if not isinstance(end, Finish) or not end.completion:
        raise Invalid("it generated nothing when it was tried")
    memory = facts.memory(ANSWERS * model.context)
    return Examined(
        signature=SIGNATURE,
        card=_card(facts, model.context),
        profile=Profile(memory, model.call_seconds, model.row_seconds, model.stackable),
        libraries={"openvino-genai": version("openvino-genai")},
    )


def examine_upstreams(path: Path) -> Examined:
    """Read which models of which providers it stands for. Whether they are there is seen when it
    is served: nobody is asked from here.

    Raises:
        Invalid: it is no good; the message says why.
    """
    told = read_description(path.read_bytes())
    names = ", ".join(one.name for one in told.upstreams)
    return Examined(
        signature=told.signature,
        card=Card(
            task="text-embedding" if told.embeds else "text-generation",
            algorithm="upstream",
            description=f"Runs elsewhere: {names}.",
        ),
        profile=Profile(0, 0.0, 0.0),
    )


def _card(facts: LanguageFacts, context: int) -> Card:
    told = (
        f"{facts.name or 'A language model'}: {facts.parameters / 1e6:,.0f} million parameters in "
        f"{facts.quantisation}, a context of {context} tokens."
    )
    return Card(task="text-generation", algorithm=facts.architecture, description=told)
