"""Limits and budgets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from modelyard_client.keys import SETTLE_SECONDS
from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route


class Quota(msgspec.Struct, frozen=True):
    """How much a key, or all keys of the tenant together (None), may use; or of a `deployment` all
    its callers together, or `each_caller`.

    `used` is None until the quota is in force, and of one of each caller; `held` is what requests
    under way may come to.
    """

    id: str
    key_id: str | None
    measure: str
    period: str
    amount: Decimal
    strict: bool
    alert_at: int
    imposed: bool
    zone: str
    used: Decimal | None = None
    held: Decimal | None = None
    deployment: str = ""
    each_caller: bool = False


class Alert(msgspec.Struct, frozen=True):
    """A budget has reached its alert (`nearly`) or its end (`spent`)."""

    id: str
    quota_id: str
    key_id: str | None
    kind: str
    measure: str
    period: str
    amount: Decimal
    spent: Decimal
    since: datetime
    at: datetime


class Quotas:
    """`/api/v1/quotas`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def set(
        self,
        measure: str,
        period: str,
        amount: Decimal | int | str,
        *,
        key_id: str | None = None,
        strict: bool = True,
        alert_at: int = 0,
        deployment: str = "",
        each_caller: bool = False,
        settle: float = SETTLE_SECONDS,
    ) -> Quota:
        """Bound `requests`, `rows` or `tokens` per `minute`, `concurrency` per `moment`, or any of
        the first and `money` per `day`, per `month` or in `total`.

        With a `deployment`, the first two kinds bound its callers: all tenants together, or each.

        Returns after `settle` seconds more, so that it is in force in every gateway.
        """
        body = {
            "measure": measure,
            "period": period,
            "amount": str(amount),
            "key_id": key_id,
            "strict": strict,
            "alert_at": alert_at,
            "deployment": deployment,
            "each_caller": each_caller,
        }
        quota = self._transport.request("PUT", route("quotas"), Quota, body=body)
        time.sleep(settle)
        return quota

    def get(self, quota_id: str) -> Quota:
        """A quota and its present use."""
        return self._transport.request("GET", route("quotas", quota_id), Quota)

    def list(self, limit: int = 1000) -> Sequence[Quota]:
        """All quotas and their present use, newest first."""
        return collect(self._transport, route("quotas"), Page[Quota], limit)

    def remove(self, quota_id: str) -> None:
        """Put a quota out of force, within a second."""
        self._transport.request("DELETE", route("quotas", quota_id), type(None))

    def alerts(self, limit: int = 1000) -> Sequence[Alert]:
        """What was told of budgets, newest first."""
        return collect(self._transport, route("quotas", "alerts"), Page[Alert], limit)
