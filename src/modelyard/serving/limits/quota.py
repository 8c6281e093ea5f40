"""A quota as gateways know it."""

from __future__ import annotations

import msgspec

from modelyard.core.quotas import Measure, Period


class WantedQuota(msgspec.Struct, frozen=True):
    """What a key, or all keys of a tenant together (None), may use; or, of a `deployment`, all who
    call it together, or `each_caller`: each tenant that does.

    One that is `strict` is held back before a request runs, as much as that may come to. Another
    lets requests in as long as anything is left. In the budget's period that began at `since`
    (microseconds after 1970) so much was spent, as far as the ledger knew.
    """

    id: str
    tenant_id: str
    key_id: str | None
    measure: Measure
    period: Period
    amount: int
    strict: bool = True
    zone: str = "UTC"
    since: int = 0
    spent: int = 0
    deployment: str = ""
    each_caller: bool = False

    def account_of(self, caller_id: str) -> str:
        """The name of the account in which a tenant's calls are counted."""
        return f"{self.id} {caller_id}" if self.each_caller else self.id
