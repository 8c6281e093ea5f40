"""`modelyard models card`, `plots` and `use`."""

from __future__ import annotations

from pathlib import Path

from modelyard.cli.card import card_of
from modelyard.cli.display import Flag, Json, print_json, prose, terminal, text
from modelyard.cli.evaluation import evaluation_of
from modelyard.cli.models import name_of, number_of
from modelyard_client import Client


def card(
    model: str,
    /,
    *,
    to: Path | None = None,
    markdown: Flag = False,
    json: Json = False,
) -> None:
    """Read a version's model card: what it is for, how it was made and how well it does.

    Args:
        model: MODEL, MODEL:VERSION or MODEL@ALIAS; the newest version if neither is given.
        to: Write card.md and its plots to this folder.
        markdown: Print it in Markdown.
    """
    name = name_of(model)
    with Client() as client:
        number = number_of(client, model)
        if to is not None:
            for path in client.models.download_card(name, number, to):
                terminal().print(text(str(path)))
            return
        if markdown:
            terminal().print(prose(client.models.card_markdown(name, number)), soft_wrap=True)
            return
        if json:
            print_json(client.models.card(name, number))
            return
        version = client.models.version(name, number)
        evaluation = client.models.evaluation(name, number)
        use = client.models.get(name).intended_use
    out = terminal()
    if use:
        out.print(prose(use))
        out.print()
    out.print(card_of(version))
    out.print(evaluation_of(evaluation, version.card.metric))


def plots(model: str, /, *, to: Path = Path(), json: Json = False) -> None:
    """Write a version's plots as SVG files, which any browser shows.

    Args:
        model: MODEL, MODEL:VERSION or MODEL@ALIAS; the newest version if neither is given.
        to: The folder; here if not said.
    """
    with Client() as client:
        paths = client.models.download_plots(name_of(model), number_of(client, model), to)
    if json:
        print_json([str(path) for path in paths])
        return
    for path in paths:
        terminal().print(text(str(path)))
    if not paths:
        terminal().print("there is nothing to plot: the version was not measured here")


def use(model: str, said: str, /, *, json: Json = False) -> None:
    """Say what a model is for, and what it is not for, on the cards of all its versions.

    Args:
        model: The model.
        said: In a few sentences.
    """
    with Client() as client:
        changed = client.models.set_intended_use(name_of(model), said)
    if json:
        print_json(changed)
    else:
        terminal().print(f"the cards of {changed.name} say what it is for")
