"""What was used, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from modelyard_client.pages import Page
from modelyard_client.transport import Transport, route


class Money(msgspec.Struct, frozen=True):
    """An exact amount and its ISO 4217 currency code."""

    amount: Decimal
    currency: str


class Tier(msgspec.Struct, frozen=True):
    """An amount for units up to a number, that one included; None is without end."""

    amount: Decimal
    up_to: int | None = None


class Rate(msgspec.Struct, frozen=True):
    """What a unit costs within one month. Tokens are priced by the million.

    `scheme` is `graduated` (the units of each tier cost its amount) or `volume` (all units cost
    the amount of the tier in which the last one falls). The first `free` units cost nothing.
    """

    unit: str
    tiers: Sequence[Tier]
    scheme: str = "graduated"
    free: int = 0


class Price(msgspec.Struct, frozen=True):
    """What a deployment costs from a moment on, for all or for one `customer`.

    `unit` and `price` are its first rate in short. Of `token`, `price` is for a million of those
    generated, `input` of those of prompts, `cached` of these that had not to be computed.
    """

    id: str
    deployment: str
    unit: str | None
    price: Money | None
    effective_from: datetime
    input: Money | None = None
    cached: Money | None = None
    currency: str = ""
    rates: Sequence[Rate] = ()
    minimum: Decimal | None = None
    customer: str = ""


class UsageLine(msgspec.Struct, frozen=True):
    """One group's usage. `cost` is exact, at list amounts; None where nothing was priced.

    `requests` were answered well; `errors` were not, and cost nothing. `cached`
    counts requests that the response cache answered. `groups` has each group by what it is.
    """

    group: str
    requests: int
    errors: int
    rows: int
    bytes_in: int
    bytes_out: int
    mean_ms: float
    cost: Decimal | None = None
    currency: str | None = None
    cached: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    compute_ms: float = 0.0
    groups: Mapping[str, str] = {}


class Prices:
    """`/api/v1/prices`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def set(
        self,
        deployment: str,
        unit: str | None = None,
        amount: Decimal | str | None = None,
        *,
        input_amount: Decimal | str | None = None,
        cached_amount: Decimal | str | None = None,
        rates: Sequence[Any] | None = None,
        minimum: Decimal | str | None = None,
        customer: str = "",
        effective_from: datetime | None = None,
    ) -> Price:
        """Price a deployment from now on, or from a later moment, in the currency of the server.

        Either one `unit` (`request`, `row`, `compute_second`, or a million of each kind of
        `token`) at an `amount`, or `rates` as in `Rate`. With `customer`, the id of a tenant, it
        holds for that one alone; with empty `rates` the general price does so again.
        """
        body: dict[str, Any] = {"deployment": deployment}
        given = {
            "unit": unit,
            "amount": amount,
            "input_amount": input_amount,
            "cached_amount": cached_amount,
            "minimum": minimum,
            "customer": customer or None,
            "effective_from": effective_from,
        }
        for name, value in given.items():
            if value is not None:
                body[name] = value.isoformat() if isinstance(value, datetime) else str(value)
        if rates is not None:
            body["rates"] = rates
        return self._transport.request("POST", route("prices"), Price, body=body)

    def list(self) -> Sequence[Price]:
        """All prices, newest first."""
        return self._transport.request("GET", route("prices"), Page[Price]).items


class Usage:
    """`/api/v1/usage`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def report(
        self,
        by: str = "day",
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        side: str = "used",
    ) -> Sequence[UsageLine]:
        """Usage of requests that began in [since, until), grouped by `day`, `key`, `model`,
        `deployment` or `tenant`, or by several such as `day,key`.

        `side` is `used` by the tenant's keys, `served` by its deployments, whoever called, or, for
        the operator, `all`.
        """
        params = {
            "by": by,
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
            "side": None if side == "used" else side,
        }
        return self._transport.request("GET", route("usage"), Page[UsageLine], params=params).items

    def export(
        self,
        target: Path,
        format: str = "csv",
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        side: str = "used",
    ) -> int:
        """Write each request that began in [since, until) to a file, as `csv`, `cloudevents` or
        `parquet`; returns the bytes.
        """
        params = {
            "format": format,
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
            "side": side,
        }
        return self._transport.download(route("usage", "export"), target, params)
