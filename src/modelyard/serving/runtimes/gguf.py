"""Language models in a GGUF file: checked, then handed to an engine that is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from modelyard.core.errors import Invalid, NotInstalled, UnsupportedFormat
from modelyard.core.gguf.language import LanguageFacts, read_language_model
from modelyard.core.profile import LanguageProfile
from modelyard.serving.language.engines import ENGINES, MISSING, Plan, chosen, installed, plan
from modelyard.serving.language.model import TextModel
from modelyard.serving.options import Engine, LanguageOptions
from modelyard.serving.runtimes.contract import CannotLoad, LanguageManifest, RuntimeManifest


def load(folder: Path, manifest: RuntimeManifest) -> TextModel:
    """Open the model with the engine that is asked for, or the best that takes it.

    Raises:
        CannotLoad: the file is damaged, or no such engine takes it; says which can.
        NotInstalled: the engine is missing here.
    """
    path = manifest.path(folder)
    wanted = manifest.language or LanguageManifest()
    try:
        facts = read_language_model(path)
    except (Invalid, UnsupportedFormat) as error:
        raise CannotLoad(error.message) from None
    profile = profile_of(facts, wanted.engines)
    engine = chosen(wanted.options, profile)
    tried = [each for each in ENGINES if installed(each)] if engine is Engine.AUTO else [engine]
    if not tried:
        raise NotInstalled(MISSING)
    refusals = []
    for each in tried:
        try:
            return _load(each, path, facts, profile, wanted.options)
        except (CannotLoad, NotInstalled) as error:
            refusals.append(error)
    [*_, last] = refusals
    others = [each for each in ENGINES if each not in tried and _may(each, wanted.engines)]
    raise type(last)("; ".join(each.message for each in refusals) + _advice(others)) from None


def profile_of(facts: LanguageFacts, engines: tuple[str, ...]) -> LanguageProfile:
    """What is kept of a file, for those who reckon before it is loaded."""
    return LanguageProfile(engines, facts.context, max(1, facts.cache_bytes), facts.file_bytes)


def _load(
    engine: Engine,
    path: Path,
    facts: LanguageFacts,
    profile: LanguageProfile,
    options: LanguageOptions,
) -> TextModel:
    if not installed(engine):
        raise NotInstalled(
            f"the engine '{engine}' needs '{ENGINES[engine].package}', which is not installed: "
            "pip install 'modelyard[llm]'"
        )
    try:
        return _LOADERS[engine](path, plan(engine, profile, options), facts, options.chat_template)
    except Invalid as error:
        raise CannotLoad(error.message) from None


def _openvino(path: Path, told: Plan, facts: LanguageFacts, template: str) -> TextModel:
    from modelyard.serving.runtimes.openvino import OpenVinoModel

    return OpenVinoModel(path, told, template=template, chats=facts.chat_template)


def _llamacpp(path: Path, told: Plan, facts: LanguageFacts, template: str) -> TextModel:
    from modelyard.serving.runtimes.llamacpp import LlamaCppModel

    return LlamaCppModel(path, told, template=template, chats=facts.chat_template)


_LOADERS: Final[Mapping[Engine, Callable[[Path, Plan, LanguageFacts, str], TextModel]]] = {
    Engine.OPENVINO: _openvino,
    Engine.LLAMACPP: _llamacpp,
}


def _may(engine: Engine, known: tuple[str, ...]) -> bool:
    return engine in known if known else installed(engine)


def _advice(others: list[Engine]) -> str:
    if not others:
        return ""
    told = " or ".join(f"'{each}' (it reads {ENGINES[each].reads})" for each in others)
    return f"; the engine {told} is installed here"
