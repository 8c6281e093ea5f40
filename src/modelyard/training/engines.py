"""Trying a language model with every engine that is here, each in a process of its own.

An engine that crashes on a file, or takes for ever, says nothing about the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from modelyard.core.errors import NotInstalled
from modelyard.core.profile import LanguageProfile
from modelyard.registry.card import EngineTrial
from modelyard.serving.language.engines import ENGINES, MISSING, installed
from modelyard.training.spec import ExamineSpec
from modelyard.training.trained import Examined

TRY_ENGINE: Final = "try-engine"
"""The task: as `examine-model`, but one that is let believe that it has a server."""
_MOST_REASON: Final = 500


def try_engines(
    spec: ExamineSpec, examine: Callable[[ExamineSpec], Examined], fault: type[Exception]
) -> Examined:
    """Examine the model with each engine; what is known of it, and which one is the fastest.

    Raises:
        NotInstalled: there is no engine here.
        Exception: `fault`, if none takes it: the last that `examine` has raised, with all reasons.
    """
    there = [engine for engine in ENGINES if installed(engine)]
    if not there:
        raise NotInstalled(MISSING)
    found: list[tuple[EngineTrial, Examined]] = []
    failed: list[EngineTrial] = []
    failure: Exception | None = None
    for engine in there:
        try:
            examined = examine(replace(spec, engine=engine.value))
        except fault as error:
            failed.append(EngineTrial(engine.value, error=str(error)[:_MOST_REASON]))
            failure = error
        else:
            [trial] = examined.card.engines
            found.append((replace(trial, engine=engine.value), examined))
    if not found and failure is not None:
        if len(failed) > 1 and len({trial.error for trial in failed}) > 1:
            failure.args = ("; ".join(f"{trial.engine}: {trial.error}" for trial in failed),)
        raise failure
    found.sort(key=lambda each: (-each[0].together, -each[0].alone))
    return _joined([trial for trial, _ in found] + failed, found[0][1], len(found))


def _joined(trials: list[EngineTrial], best: Examined, able: int) -> Examined:
    language = best.profile.language
    if language is not None:
        engines = tuple(trial.engine for trial in trials[:able])
        language = LanguageProfile(
            engines, language.context, language.cache_bytes, language.weight_bytes
        )
    return replace(
        best,
        card=replace(best.card, engines=tuple(trials)),
        profile=replace(best.profile, language=language),
    )
