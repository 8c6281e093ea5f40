"""`/api/v1/models/{model}/versions/{number}`: the card, the evaluation behind it, and its plots."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response, get, put
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.dependencies import Caller, Services
from modelyard.api.management.fields import Name, Number
from modelyard.api.management.problems import refusals
from modelyard.registry.document import CardDocument
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.markdown import markdown
from modelyard.registry.model import Model, Reference
from modelyard.registry.plots import draw

_SVG: Final = ".svg"
_LOCKED: Final = {
    # Opened by itself a picture is a document: it may style itself and do nothing else.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}


class IntendedUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model is for, and what it is not for."""

    text: Annotated[
        str, Meta(max_length=5000, examples=["Which orders to look at before they are sent."])
    ]


@put(
    "/{model:str}/intended-use",
    summary="Say what a model is for",
    responses=refusals(404, 413, 415),
    sync_to_thread=True,
)
def set_intended_use(
    services: Services, caller: Caller, model: Name, data: JSONBody[IntendedUse]
) -> Model:
    """It stands on the cards of all its versions."""
    return services.registry.set_intended_use(caller.tenant_id, model, data.text)


@get(
    "/{model:str}/versions/{number:int}/card",
    summary="Read a model card",
    responses=refusals(404),
    sync_to_thread=True,
)
def show_card(services: Services, caller: Caller, model: Name, number: Number) -> CardDocument:
    """Intended use, data and split, metrics with intervals, limits and lineage."""
    return services.registry.document(caller.tenant_id, Reference(model, version=number))


@get(
    "/{model:str}/versions/{number:int}/card.md",
    summary="Read a model card in Markdown",
    responses=refusals(404),
    sync_to_thread=True,
)
def show_card_markdown(
    services: Services, caller: Caller, model: Name, number: Number
) -> Response[str]:
    """The same; its pictures are linked as `plots/NAME.svg`."""
    found = services.registry.document(caller.tenant_id, Reference(model, version=number))
    return Response(markdown(found), media_type="text/markdown")


@get(
    "/{model:str}/versions/{number:int}/evaluation",
    summary="Read an evaluation",
    responses=refusals(404),
    sync_to_thread=True,
)
def show_evaluation(services: Services, caller: Caller, model: Name, number: Number) -> Evaluation:
    """Scores by class and slice, curves, calibration, residuals, importance, comparisons."""
    return services.registry.evaluation(caller.tenant_id, Reference(model, version=number))


@get(
    "/{model:str}/versions/{number:int}/plots/{plot:str}",
    summary="Draw a plot",
    responses=refusals(404),
    sync_to_thread=True,
)
def show_plot(
    services: Services, caller: Caller, model: Name, number: Number, plot: Name
) -> Response[str]:
    """As SVG. The card names the plots that there are; `.svg` may follow the name."""
    found = services.registry.document(caller.tenant_id, Reference(model, version=number))
    drawn = draw(plot.removesuffix(_SVG), found.card, found.evaluation)
    return Response(drawn, media_type="image/svg+xml", headers=_LOCKED)
