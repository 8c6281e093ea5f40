"""Trying models of language: whether their files are sound, they load, and they answer."""

from __future__ import annotations

import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

from modelyard.core.errors import Invalid
from modelyard.core.gguf.language import LanguageFacts, read_language_model
from modelyard.core.profile import Profile
from modelyard.registry.card import Card, EngineTrial
from modelyard.serving.language.engines import ENGINES, plan
from modelyard.serving.language.generation import (
    Generation,
    LanguageModel,
    Message,
    Piece,
    Role,
    Sampling,
)
from modelyard.serving.language.model import SIGNATURE
from modelyard.serving.options import Engine, LanguageOptions
from modelyard.serving.runtimes.catalogue import load
from modelyard.serving.runtimes.contract import LanguageManifest, RuntimeManifest
from modelyard.serving.runtimes.gguf import profile_of
from modelyard.serving.stopping import StopSignal
from modelyard.serving.upstream.description import read_description
from modelyard.training.trained import Examined

STREAMS: Final = 8
"""Answers that are generated at once to see which engine is the faster."""
TOKENS: Final = 16
"""Of each answer."""
SECONDS: Final = 4.0
"""Longest that either measurement takes, if anything has come by then."""
PATIENCE: Final = 60.0
"""The same of a first answer, if nothing has."""
CONTEXT: Final = 512
"""What a stream of the measurement may look at."""
_QUESTION: Final = (
    "A town by the sea has a market on Saturdays. What does visitor number {} see, hear and buy "
    "there, one thing after the other?"
)


def examine_language_model(folder: Path, manifest: RuntimeManifest, engine: str) -> Examined:
    """Read the file's head, load the model with the engine, have it answer, and measure that.

    Raises:
        CannotLoad, Invalid: it is no good, or not for this engine; the message says why.
        NotInstalled: the engine is missing here.
    """
    facts = read_language_model(manifest.path(folder))
    wanted = Engine(engine)
    options = LanguageOptions(engine=wanted, context=min(CONTEXT, facts.context), slots=STREAMS)
    began = time.monotonic()
    model = load(
        folder,
        RuntimeManifest(manifest.format, manifest.files, language=LanguageManifest(options)),
    )
    loaded = time.monotonic() - began
    if not isinstance(model, LanguageModel):
        raise Invalid("it is no language model")
    try:
        alone = _rate(model, facts, 1)
        together = _rate(model, facts, STREAMS)
    finally:
        model.unload()
    profile = profile_of(facts, (wanted.value,))
    memory = plan(wanted, profile, LanguageOptions()).memory
    package = ENGINES[wanted].package.replace("_", "-")
    return Examined(
        signature=SIGNATURE,
        card=_card(facts, EngineTrial(wanted.value, loaded, alone, together)),
        profile=Profile(
            memory, model.call_seconds, model.row_seconds, model.stackable, language=profile
        ),
        libraries={package: version(package)},
    )


def _rate(model: LanguageModel, facts: LanguageFacts, streams: int) -> float:
    """Tokens a second of so many answers at once, the time of their prompts included.

    Raises:
        Invalid: not even one answer has begun.
    """
    counts = [0] * streams
    stop = StopSignal()
    failures: list[Exception] = []

    def ask(number: int) -> None:
        def hear(piece: Piece) -> None:
            counts[number] += piece.tokens

        try:
            model.generate(_asked(facts, number), hear, stop)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(streams)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for wait in (SECONDS, PATIENCE):
        until = began + wait
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(counts) or streams > 1:
            break
    stop.set()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    if failures:
        raise failures[0]
    if not any(counts) and streams == 1:
        raise Invalid("it generated nothing when it was tried")
    return sum(counts) / seconds


def _asked(facts: LanguageFacts, number: int) -> Generation:
    text = _QUESTION.format(number + 1)
    sampling = Sampling(max_tokens=TOKENS, temperature=0.0)
    if facts.chat_template:
        return Generation((Message(Role.USER, text),), sampling=sampling)
    return Generation(prompt=text, sampling=sampling)


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


def _card(facts: LanguageFacts, trial: EngineTrial) -> Card:
    told = (
        f"{facts.name or 'A language model'}: {facts.parameters / 1e6:,.0f} million parameters in "
        f"{facts.quantisation}, a context of {facts.context} tokens."
    )
    warnings = (
        ()
        if facts.chat_template
        else (
            "it has no chat template: it completes texts; to chat, give its deployment one "
            "(option 'chat_template')",
        )
    )
    return Card(
        task="text-generation",
        algorithm=facts.architecture,
        description=told,
        warnings=warnings,
        engines=(trial,),
    )
