"""`modelyard models link`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from modelyard.cli.card import card_of
from modelyard.cli.display import Json, print_json, terminal
from modelyard.cli.failure import CommandFailed
from modelyard_client import Client, Upstream


def link(
    model: str,
    /,
    *upstreams: str,
    fallback: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    can: Annotated[
        tuple[Literal["chat", "completions", "embeddings"], ...],
        Parameter(name="--for", negative=""),
    ] = ("chat",),
    dimensions: int | None = None,
    description: str = "",
    json: Json = False,
) -> None:
    """Register a version of a model that stands for models of providers.

    Args:
        model: The model; it is made if need be.
        upstreams: PROVIDER/MODEL, or PROVIDER/MODEL=WEIGHT where several share the requests.
        fallback: The same; asked when none of those before answers. May be given again, for one
            more that is asked after this.
        can: What it is asked for; may be given again.
        dimensions: Width of embeddings, where the provider's model has several.
        description: A sentence for the version's card.
    """
    if not upstreams:
        raise CommandFailed("name one model of a provider at least: PROVIDER/MODEL")
    targets = [parsed(text, 0) for text in upstreams]
    targets += [parsed(text, place) for place, text in enumerate(fallback, 1)]
    with Client() as client:
        version = client.models.link(
            model, targets, capabilities=can, dimensions=dimensions, description=description
        )
        known = {provider.name for provider in client.providers.list()}
    if json:
        print_json(version)
        return
    terminal().print(f"{model} version {version.number} is registered")
    terminal().print(card_of(version))
    for name in sorted({target.provider for target in targets} - known):
        terminal(error=True).print(f"there is no provider '{name}' yet: 'modelyard providers add'")


def parsed(text: str, order: int) -> Upstream:
    """An upstream in `openai/gpt-4o-mini` or `openai/gpt-4o-mini=3`. Raises CommandFailed."""
    name, equals, weight = text.rpartition("=")
    if not equals:
        name, weight = text, "1"
    provider, slash, model = name.partition("/")
    if not (provider and slash and model) or not weight.isdecimal() or not weight.isascii():
        raise CommandFailed(f"'{text}' must be PROVIDER/MODEL or PROVIDER/MODEL=WEIGHT")
    return Upstream(provider, model, int(weight), order)
