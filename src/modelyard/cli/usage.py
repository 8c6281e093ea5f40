"""`modelyard usage`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal

from cyclopts import App

from modelyard.cli.display import Grid, Json, print_json, size, table, terminal
from modelyard.cli.keys import zoned
from modelyard_client import ApiError, Client
from modelyard_client.billing import UsageLine
from modelyard_client.keys import Key
from modelyard_client.tenants import Tenant

_FORMATS: Final = {".parquet": "parquet", ".json": "cloudevents"}


def usage(
    *,
    by: str = "day",
    since: datetime | None = None,
    until: datetime | None = None,
    side: Literal["used", "served", "all"] = "used",
    json: Json = False,
) -> None:
    """Show what was used and what it costs. Failed requests cost nothing.

    Args:
        by: How to group it: day, key, model, deployment or tenant, or several: day,key.
        since: From this day or time on; UTC unless it says otherwise.
        until: Up to this day or time, and not with it.
        side: What your keys used, what your deployments served to whomever, or, for the operator,
            all that all tenants used.
    """
    with Client() as client:
        lines = client.usage.report(
            by,
            None if since is None else zoned(since),
            None if until is None else zoned(until),
            side=side,
        )
        names = {} if json else _names(client, by)
    if json:
        print_json(lines)
        return
    terminal().print(usage_table(by, lines, names) if lines else "no usage yet")


def export(
    *,
    to: Path,
    format: Literal["csv", "parquet", "cloudevents"] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    side: Literal["used", "served", "all"] = "used",
) -> None:
    """Write each request to a file, oldest first.

    Args:
        to: The file.
        format: csv, parquet, or cloudevents (a batch in JSON, for OpenMeter, Lago and others); by
            the file's ending if not given, else csv.
        since: From this day or time on; UTC unless it says otherwise.
        until: Up to this day or time, and not with it.
        side: What your keys used, what your deployments served to whomever, or, for the operator,
            all that all tenants used.
    """
    begin = None if since is None else zoned(since)
    end = None if until is None else zoned(until)
    with Client() as client:
        form = format or _FORMATS.get(to.suffix.lower(), "csv")
        written = client.usage.export(to, form, begin, end, side=side)
    terminal().print(f"{to}: {written} bytes")


def usage_table(
    by: str, lines: Sequence[UsageLine], names: Mapping[str, str] | None = None
) -> Grid:
    """The lines, and the exact total of each currency beneath.

    `names` are what people call the groups, where a group is an id. Tokens are those of prompts
    and those of answers.
    """
    tokens = any(line.prompt_tokens or line.completion_tokens for line in lines)
    rows: list[tuple[Any, ...]] = [
        (
            line.group,
            *([names.get(line.group, "")] if names else []),
            line.requests,
            line.errors,
            line.cached,
            line.rows,
            *([f"{line.prompt_tokens} + {line.completion_tokens}"] if tokens else []),
            size(line.bytes_in),
            size(line.bytes_out),
            f"{line.mean_ms:.2f}",
            "-" if line.cost is None else f"{line.cost:f} {line.currency}",
        )
        for line in lines
    ]
    if len(lines) > 1:
        name = [""] if names else []
        sums = totals(lines)
        blank = (None, None, None, None, *([""] if tokens else []), "", "", "")
        rows.extend(("total", *name, *blank, each) for each in sums)
    named = ["NAME"] if names else []
    counts = ("REQUESTS", "ERRORS", "CACHED", "ROWS", *(["TOKENS"] if tokens else []))
    return table((by.upper(), *named, *counts, "IN", "OUT", "MEAN MS", "COST"), rows)


def _names(client: Client, by: str) -> dict[str, str]:
    """What the groups are called where each is an id, as far as this caller may know."""
    lists: dict[str, Callable[[], Sequence[Key | Tenant]]] = {
        "key": client.keys.list,
        "tenant": client.tenants.list,
    }
    if by not in lists:
        return {}
    try:
        return {each.id: each.name for each in lists[by]()}
    except ApiError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return {}


def totals(lines: Sequence[UsageLine]) -> list[str]:
    """What all lines cost, in each currency."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        if line.cost is not None and line.currency is not None:
            sums[line.currency] += line.cost
    return [f"{amount:f} {currency}" for currency, amount in sorted(sums.items())]


commands: Final = App(name="usage", version_flags=[])
"""`usage` by itself, and `usage export`."""
commands.default(usage)
commands.command(export, name="export", help="Write each request to a file, oldest first.")
