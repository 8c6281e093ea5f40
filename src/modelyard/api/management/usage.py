"""`/api/v1/usage`: who used what, and what it costs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from litestar import Router, get
from litestar.params import QueryParameter
from litestar.response import Stream
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Services
from modelyard.api.management.instants import parse_instant
from modelyard.api.management.problems import refusals
from modelyard.billing import usage as entity
from modelyard.billing.usage import Side, UsageBy, UsageQuery
from modelyard.core.access import Grant, Permission, require
from modelyard.core.errors import Invalid
from modelyard.core.pages import Page

_MOMENT: Final = "A moment with a zone (2026-11-22T10:00:00Z) or a day, which begins at 00:00 UTC."


class ReportedSide(StrEnum):
    """Whose usage is reported."""

    USED = "used"
    SERVED = "served"
    ALL = "all"


class ExportFormat(StrEnum):
    """What usage can be had as."""

    CSV = "csv"
    CLOUDEVENTS = "cloudevents"
    PARQUET = "parquet"


_MEDIA: Final = {
    ExportFormat.CSV: "text/csv",
    ExportFormat.CLOUDEVENTS: "application/cloudevents-batch+json",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}
_ENDINGS: Final = {
    ExportFormat.CSV: "csv",
    ExportFormat.CLOUDEVENTS: "json",
    ExportFormat.PARQUET: "parquet",
}


class UsageLine(msgspec.Struct, frozen=True):
    """One group's usage. `requests` were answered well; `errors` were not, and cost nothing."""

    group: Annotated[
        str, Meta(description="A day, the id of a key or a tenant, or a name; of several, all.")
    ]
    requests: int
    errors: int
    rows: int
    bytes_in: int
    bytes_out: int
    mean_ms: Annotated[float, Meta(description="Mean time of a request in milliseconds.")]
    cost: Annotated[str | None, Meta(description="Exact; null where nothing was priced.")]
    currency: str | None
    cached: Annotated[
        int, Meta(description="How many of the requests the response cache answered.")
    ]
    prompt_tokens: Annotated[
        int, Meta(description="Tokens of prompts, the cached ones among them.")
    ]
    cached_tokens: Annotated[
        int, Meta(description="Tokens of prompts that had not to be computed.")
    ]
    completion_tokens: Annotated[int, Meta(description="Tokens that were generated.")]
    compute_ms: Annotated[float, Meta(description="Time of the model, in milliseconds.")]
    groups: Annotated[dict[UsageBy, str], Meta(description="Each group by what it is.")]


@get("/", summary="Report usage", responses=refusals(), sync_to_thread=True)
def report_usage(
    services: Services,
    caller: Caller,
    by: Annotated[
        str,
        QueryParameter(
            description="How to group: `day`, `key`, `model`, `deployment` or `tenant`, or "
            "several with commas between, such as `day,key`."
        ),
    ] = "day",
    since: Annotated[str | None, QueryParameter(description=f"From then on. {_MOMENT}")] = None,
    until: Annotated[str | None, QueryParameter(description=f"Before then. {_MOMENT}")] = None,
    side: Annotated[
        ReportedSide,
        QueryParameter(
            description="`used`: by the tenant's keys. `served`: by its deployments, whoever "
            "called them. `all`: of all tenants, for the operator."
        ),
    ] = ReportedSide.USED,
) -> Page[UsageLine]:
    """Usage of requests that began in [since, until), by group, with its exact cost."""
    _check_side(caller, side)
    groups = parse_groups(by)
    query = UsageQuery(
        groups, parse_instant("since", since), parse_instant("until", until), Side(side.value)
    )
    lines = services.billing.usage(caller.tenant_id, query)
    return Page([_shown(groups, line) for line in lines])


@get(
    "/export",
    summary="Export usage",
    responses=refusals(501),
    sync_to_thread=True,
)
def export_usage(
    services: Services,
    caller: Caller,
    format: Annotated[
        ExportFormat, QueryParameter(description="`csv`, `cloudevents` or `parquet`.")
    ] = ExportFormat.CSV,
    since: Annotated[str | None, QueryParameter(description=f"From then on. {_MOMENT}")] = None,
    until: Annotated[str | None, QueryParameter(description=f"Before then. {_MOMENT}")] = None,
    side: Annotated[
        ReportedSide, QueryParameter(description="As in the report.")
    ] = ReportedSide.USED,
) -> Stream:
    """Each request that began in [since, until), oldest first, as a stream. Without `until`, those
    that are in the ledger now.

    `cloudevents` is a batch in JSON, for billing systems that take CloudEvents; `parquet` needs
    pyarrow on the server.
    """
    _check_side(caller, side)
    bounds = parse_instant("since", since), parse_instant("until", until)
    pages = services.exporter.pages(caller.tenant_id, Side(side.value), *bounds)
    content = services.usage_formats[format.value](pages)
    disposition = {"content-disposition": f'attachment; filename="usage.{_ENDINGS[format]}"'}
    return Stream(content, media_type=_MEDIA[format], headers=disposition)


def _check_side(caller: Grant, side: ReportedSide) -> None:
    if side is ReportedSide.ALL:
        require(caller, Permission.OPERATE)


def parse_groups(text: str) -> tuple[UsageBy, ...]:
    """Read `day,key`. Raises Invalid for a word that is none of the groups."""
    try:
        return tuple(UsageBy(word.strip()) for word in text.split(","))
    except ValueError:
        choices = " or ".join(f"'{each}'" for each in UsageBy)
        raise Invalid(
            f"parameter 'by': {text[:80]!r} must be {choices}, or several with commas between"
        ) from None


def _shown(groups: tuple[UsageBy, ...], line: entity.UsageLine) -> UsageLine:
    return UsageLine(
        group=", ".join(line.groups),
        requests=line.requests,
        errors=line.errors,
        rows=line.rows,
        bytes_in=line.bytes_in,
        bytes_out=line.bytes_out,
        mean_ms=line.mean_ms,
        cost=None if line.cost is None else format(line.cost, "f"),
        currency=line.currency,
        cached=line.cached,
        prompt_tokens=line.prompt_tokens,
        cached_tokens=line.cached_tokens,
        completion_tokens=line.completion_tokens,
        compute_ms=line.compute_ms,
        groups=dict(zip(groups, line.groups, strict=True)),
    )


usage: Final = Router(
    "/usage",
    route_handlers=[report_usage, export_usage],
    tags=["billing"],
    opt=needs(Permission.BILLING_READ),
)
