"""`modelyard models`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from modelyard.cli.card import card_of
from modelyard.cli.display import Json, facts, listing, print_json, table, terminal
from modelyard.cli.failure import CommandFailed
from modelyard_client import Client
from modelyard_client.models import Alias, Model, ModelVersion


def list_all(*, json: Json = False) -> None:
    """List the models by name."""
    with Client() as client:
        models = client.models.list()
    if json:
        print_json(models)
        return
    rows = [(m.name, m.latest, m.created_at, m.description) for m in models]
    headings = ("MODEL", "LATEST", "CREATED", "DESCRIPTION")
    listing(headings, rows, "no models: 'modelyard train' or 'modelyard models import'")


def show(model: str, /, *, json: Json = False) -> None:
    """Show a model's versions and aliases, and the card of one version.

    Args:
        model: MODEL, MODEL:VERSION or MODEL@ALIAS; the newest version if neither is given.
    """
    name = name_of(model)
    with Client() as client:
        found = client.models.get(name)
        aliases = client.models.aliases(name)
        versions = client.models.versions(name, limit=20)
        number = _meant(model, found, aliases)
        version = client.models.version(name, number) if number else None
    if json:
        print_json({"model": found, "aliases": aliases, "version": version})
        return
    pointing = {
        v.number: " ".join(f"@{a.name}" for a in aliases if a.version == v.number) for v in versions
    }
    rows = [(v.number, pointing[v.number], *_summary(v), v.created_at) for v in versions]
    out = terminal()
    out.print(facts([("model", found.name), ("description", found.description)]))
    out.print()
    headings = ("VERSION", "ALIASES", "ALGORITHM", "METRIC", "SERVED AS", "CREATED")
    out.print(table(headings, rows))
    if version is not None:
        out.print()
        out.print(card_of(version))


def import_model(
    model: str,
    path: Path,
    /,
    *,
    sample: Path | None = None,
    description: str = "",
    name: str = "",
    json: Json = False,
) -> None:
    """Register a model that was made elsewhere as a new version. Its content says what it is.

    Args:
        model: The model; it is made if need be.
        path: The model's file, a ZIP or tar archive with it, or a folder such as MLflow's.
        sample: A JSON file with some rows that the model takes, to try it on.
        description: A sentence for the version's card.
        name: What the version's lineage calls the file, if not by its own name.
    """
    with Client() as client:
        version = client.models.import_model(
            model, path, sample=sample, description=description, filename=name
        )
    if json:
        print_json(version)
        return
    out = terminal()
    out.print(f"{version.model} version {version.number} is registered")
    out.print(card_of(version))


def alias(model: str, alias: str, version: int, /, *, json: Json = False) -> None:
    """Point an alias such as 'champion' at a version; deployments of MODEL@ALIAS follow.

    Args:
        model: The model.
        alias: The alias.
        version: The version's number.
    """
    with Client() as client:
        pointed = client.models.set_alias(model, alias, version)
    if json:
        print_json(pointed)
    else:
        terminal().print(f"{model}@{pointed.name} is version {pointed.version}")


def name_of(reference: str) -> str:
    """The model's name in `churn`, `churn:3` or `churn@champion`."""
    return re.split("[:@]", reference, maxsplit=1)[0]


def number_of(client: Client, reference: str) -> int:
    """The number of the version that the reference means.

    Raises:
        CommandFailed: the model has no such alias, or no version at all.
    """
    name = name_of(reference)
    number = _meant(reference, client.models.get(name), client.models.aliases(name))
    if not number:
        raise CommandFailed(f"model '{name}' has no version that is ready yet")
    return number


def _meant(reference: str, model: Model, aliases: Sequence[Alias]) -> int:
    """Zero for a model without a version."""
    if "@" in reference:
        wanted = reference.partition("@")[2]
        number = next((a.version for a in aliases if a.name == wanted), 0)
        if not number:
            raise CommandFailed(f"model '{model.name}' has no alias '{wanted}'")
        return number
    return _number(reference) if ":" in reference else model.latest


def _number(reference: str) -> int:
    text = reference.partition(":")[2]
    if not text.isascii() or not text.isdigit() or not int(text):
        raise CommandFailed(f"version '{text}' must be a number such as 3")
    return int(text)


def _summary(version: ModelVersion) -> tuple[str, str, str]:
    card = version.card
    score = card.metrics.get(card.metric)
    measured = f"{card.metric} {score:.4f}" if score is not None else "-"
    return card.algorithm or "-", measured, _served_as(version)


def _served_as(version: ModelVersion) -> str:
    if version.state != "ready":
        return version.state
    formats = [artifact.format for artifact in version.artifacts]
    agreed = version.parity is None or version.parity.agreed
    if "onnx" in formats and agreed:
        return "onnx"
    return next((one for one in formats if one not in ("onnx", "features")), "-")
