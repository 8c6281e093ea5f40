"""One quota as it holds for one key, with its account."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from modelyard.core.errors import BudgetExceeded, RateLimited
from modelyard.core.metering import Quantities
from modelyard.core.quotas import FOREVER, Measure, Period, bounds
from modelyard.serving.limits import accounts
from modelyard.serving.limits.charges import Rates, amount
from modelyard.serving.limits.ports import Account, OpenAccount, TenantAllowances
from modelyard.serving.limits.quota import WantedQuota

_SPANS: Final = {
    Period.MOMENT: "at once",
    Period.MINUTE: "a minute",
    Period.DAY: "a day",
    Period.MONTH: "a month",
    Period.TOTAL: "in all",
}
VARIES: Final = -1
"""In the place of an amount that is another for each request."""


class Standing(NamedTuple):
    """How one quota stands. `resets` is in seconds; infinite where nobody can tell."""

    quota: WantedQuota
    left: int
    resets: float


class Line:
    """A quota for the keys of the tenant `caller_id`. What is the same for every request is found
    once: `claim` is held back for each, and `use` is kept of each.
    """

    __slots__ = (
        "_account",
        "_accounts",
        "_id",
        "_ours",
        "_strict",
        "amount",
        "claim",
        "quota",
        "use",
    )

    def __init__(self, quota: WantedQuota, caller_id: str, accounts: TenantAllowances) -> None:
        asked = not quota.period.is_budget
        counts_one = quota.measure in (Measure.REQUESTS, Measure.CONCURRENCY)
        self.quota = quota
        self.amount = quota.amount
        self._id = quota.account_of(caller_id)
        self._ours = quota.tenant_id == caller_id
        self._strict = quota.strict or asked
        self._accounts = accounts
        self._account: Account | None = None
        self.claim = 0 if not self._strict else 1 if counts_one else VARIES
        self.use = VARIES
        if quota.measure is Measure.CONCURRENCY:
            self.use = 0
        elif quota.measure is Measure.REQUESTS and asked:
            self.use = 1

    @property
    def bounds_tokens(self) -> bool:
        """Whether a request must say beforehand how many tokens it will have at most."""
        return self._strict and self.quota.measure in (Measure.TOKENS, Measure.MONEY)

    @property
    def told(self) -> bool:
        """Whether the caller may know how it stands: what others use of a publisher's deployment
        is not theirs to know.
        """
        return self._ours or self.quota.each_caller

    def account(self, at: int) -> Account:
        """The account of the period in which the moment is."""
        account = self._account
        if account is not None and account.since <= at < account.until:
            return account
        quota = self.quota
        since, until = bounds(quota.period, at, quota.zone)
        spent = quota.spent if since == quota.since else 0
        which = OpenAccount(self._id, quota.period, since, until, spent)
        self._account = account = self._accounts.open(which)
        return account

    def claimed(self, most: Quantities, rates: Rates) -> int:
        """What is held back for a request that may come to so much, where `claim` varies."""
        return amount(self.quota.measure, most, rates)

    def used(self, charged: Quantities, rates: Rates) -> int:
        """What a request has used for good that is charged for so much, where `use` varies."""
        return amount(self.quota.measure, charged, rates)

    def standing(self, at: int, now: float) -> Standing:
        """How it stands."""
        account = self.account(at)
        left = self.amount - account.taken(now)
        until = account.until
        resets = account.resets(now) if until == FOREVER else (until - at) / 1e6
        return Standing(self.quota, left if left > 0 else 0, resets)

    def refusal(self, wanted: int, at: int, now: float) -> RateLimited | BudgetExceeded:
        """What to say to a request that wants more than there is."""
        quota, standing = self.quota, self.standing(at, now)
        account, told = self.account(at), quota.measure.told
        verb = "spend" if quota.measure is Measure.MONEY else "use"
        says = f"{self._whose} may {verb} {told(quota.amount)} {_SPANS[quota.period]}"
        if not self.told:
            says = "this deployment is as busy as its publisher lets it be"
        elif standing.left and wanted > 1:
            left = told(standing.left)
            says += f"; this request may come to {told(wanted)}, and {left} are left"
        if quota.period.is_budget:
            resets = None if standing.resets == math.inf else math.ceil(standing.resets)
            return BudgetExceeded(says, resets=resets)
        seconds = account.returns(wanted, quota.amount, now)
        after = math.ceil(seconds) if seconds < math.inf else accounts.WINDOW
        return RateLimited(says, retry_after=max(1, after))

    @property
    def _whose(self) -> str:
        if self.quota.deployment:
            each = self.quota.each_caller
            return f"{'each caller' if each else 'all callers'} of this deployment"
        return "this key's tenant" if self.quota.key_id is None else "this key"
