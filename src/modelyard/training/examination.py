"""Trying a model: loading it, asking it, measuring it, and converting it to ONNX if that can be.

This may execute what the model's file holds: it is called in a sandboxed process only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.profile import Profile
from modelyard.core.tasks import Progress, Report
from modelyard.core.tensors import Signature
from modelyard.registry.artifact import Format
from modelyard.registry.card import Card
from modelyard.serving.runtimes.catalogue import load
from modelyard.serving.runtimes.contract import FEATURES, MODEL, LoadedModel, RuntimeManifest
from modelyard.training.conversion.converting import convert
from modelyard.training.conversion.sample import Sample
from modelyard.training.language import examine_language_model, examine_upstreams
from modelyard.training.networks import TASKS, examine_network
from modelyard.training.spec import ExamineSpec
from modelyard.training.trained import Examined

ENDLESS: Final = 86_400.0
"""Seconds."""


def examine_model(scratch: Path, spec: ExamineSpec, report: Report) -> Examined:
    """Try the model.

    Raises:
        CannotLoad, Invalid: it is no good; the message says why.
        UnsupportedFormat: it takes or gives what cannot be served.
        NotInstalled: its library is missing here.
    """
    if spec.signature is not None:
        return _load(scratch, spec, spec.signature, Card(task="imported", algorithm=""))
    report(Progress(f"reading the model ({spec.format})", 0.2))
    if spec.format is Format.ONNX:
        from modelyard.training.conversion.onnx_file import import_file

        told = import_file(scratch / spec.file, spec.filename)
        examined = _load(scratch, spec, told.signature, told.card)
        return msgspec.structs.replace(examined, libraries=told.libraries)
    if spec.format is Format.GGUF:
        return examine_language_model(scratch, _manifest(scratch, spec), spec.engine)
    if spec.format is Format.UPSTREAM:
        return examine_upstreams(scratch / spec.file)
    if spec.format in TASKS:
        return examine_network(scratch, spec.format, _manifest(scratch, spec))
    return _convert(scratch, spec)


def _load(scratch: Path, spec: ExamineSpec, signature: Signature, card: Card) -> Examined:
    manifest = _manifest(scratch, spec)
    model = load(scratch, msgspec.structs.replace(manifest, signature=signature))
    try:
        return Examined(signature, card, _profile(model))
    finally:
        model.unload()


def _convert(scratch: Path, spec: ExamineSpec) -> Examined:
    manifest = _manifest(scratch, spec)
    warnings: tuple[str, ...] = ()
    try:
        told = convert(scratch, manifest, _sample(scratch, spec))
    except Invalid as error:
        if not spec.optional:
            raise
        told = convert(scratch, manifest, None)
        warnings = (f"the input example that came with it was not used: {error.message}",)
    return Examined(
        signature=told.signature,
        card=Card(task="imported", algorithm=told.kind[:200], warnings=(*warnings, *told.warnings)),
        profile=told.native,
        libraries=told.libraries,
        parity=told.parity,
        graph=told.graph,
        features=told.features,
    )


def _sample(scratch: Path, spec: ExamineSpec) -> Sample | None:
    return None if spec.sample is None else Sample.read(scratch / spec.sample)


def _manifest(scratch: Path, spec: ExamineSpec) -> RuntimeManifest:
    files = {MODEL: spec.file}
    if spec.features is not None:
        files[FEATURES] = spec.features
    return RuntimeManifest(spec.format.value, files)


def _profile(model: LoadedModel) -> Profile:
    # A graph that repeats by its values has no cost that could be told: it counts as endless.
    seconds = min(model.call_seconds, ENDLESS)
    return Profile(model.memory_bytes, seconds, model.row_seconds, model.stackable)
