"""What was used, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from modelyard_client.pages import Page
from modelyard_client.transport import Transport, route


class Money(msgspec.Struct, frozen=True):
    """An exact amount and its ISO 4217 currency code."""

    amount: Decimal
    currency: str


class Price(msgspec.Struct, frozen=True):
    """What a `request`, a `row`, or a million of each `token` costs from a moment on.

    For `token`, `price` is of those generated, `input` of those of prompts, `cached` of these that
    had not to be computed.
    """

    id: str
    deployment: str
    unit: str
    price: Money
    effective_from: datetime
    input: Money | None = None
    cached: Money | None = None


class UsageLine(msgspec.Struct, frozen=True):
    """One group's usage. `cost` is exact; None where nothing was priced.

    `requests` were answered well; `errors` were not, and cost nothing. `cached`
    counts requests that the response cache answered.
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


class Prices:
    """`/api/v1/prices`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def set(
        self,
        deployment: str,
        unit: str,
        amount: Decimal | str,
        *,
        input_amount: Decimal | str | None = None,
        cached_amount: Decimal | str | None = None,
    ) -> Price:
        """Price one `request` or one `row` of the deployment, or a million of each kind of `token`,
        from now on, in the currency of the server.
        """
        body = {"deployment": deployment, "unit": unit, "amount": str(amount)}
        for name, value in (("input_amount", input_amount), ("cached_amount", cached_amount)):
            if value is not None:
                body[name] = str(value)
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
    ) -> Sequence[UsageLine]:
        """Usage of requests that began in [since, until), grouped by `day`, `key`, `model` or
        `deployment`.
        """
        params = {
            "by": by,
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
        }
        return self._transport.request("GET", route("usage"), Page[UsageLine], params=params).items
