"""The quotas in force: what a request reserves before it runs, and what it has used at its end.

Minutes and moments count what is asked of the server, failures too. Budgets count what is billed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final, NamedTuple

from modelyard.core.access import Grant
from modelyard.core.errors import BudgetExceeded, RateLimited, Unavailable
from modelyard.core.events import PredictionMade
from modelyard.core.metering import Quantities, quantities
from modelyard.core.quotas import FOREVER, Measure, Period, bounds
from modelyard.serving.limits import accounts
from modelyard.serving.limits.charges import FREE, Rates, amount, rates_for
from modelyard.serving.limits.ports import (
    Account,
    Allowances,
    Claim,
    OpenAccount,
    TenantAllowances,
    Use,
)
from modelyard.serving.limits.quota import WantedQuota

Now = Callable[[], float]


class Standing(NamedTuple):
    """How one quota stands. `resets` is in seconds; infinite where nobody can tell."""

    quota: WantedQuota
    left: int
    resets: float


class Limits:
    """What all keys may use, as of one snapshot. `now` is the monotonic clock."""

    def __init__(
        self,
        quotas: Sequence[WantedQuota],
        rates: Mapping[str, Sequence[Rates]],
        allowances: Allowances,
        now: Now,
    ) -> None:
        self._allowances = allowances
        self._rates = rates
        self._now = now
        self._by_tenant: dict[str, list[WantedQuota]] = {}
        for quota in quotas:
            self._by_tenant.setdefault(quota.tenant_id, []).append(quota)
        self._known: dict[str, KeyLimits | None] = {}

    def of(self, grant: Grant) -> KeyLimits | None:
        """What holds for this key; None for one that has no limits."""
        try:
            return self._known[grant.key_id]
        except KeyError:
            self._known[grant.key_id] = found = self._find(grant)
            return found

    def use(self, quota_id: str, at: int) -> Use | None:
        """What is used of a quota at present; None of one that is not in force."""
        for quota in chain.from_iterable(self._by_tenant.values()):
            if quota.id == quota_id:
                line = _Line(quota, self._allowances.of(quota.tenant_id))
                return line.account(at).use(self._now())
        return None

    def _find(self, grant: Grant) -> KeyLimits | None:
        mine = [
            quota
            for quota in self._by_tenant.get(grant.tenant_id, ())
            if quota.key_id in (None, grant.key_id)
        ]
        if not mine:
            return None
        accounts = self._allowances.of(grant.tenant_id)
        return KeyLimits(mine, grant.tenant_id, self._rates, accounts, self._now)


class KeyLimits:
    """What holds for one key: its own quotas and its tenant's."""

    def __init__(
        self,
        quotas: Sequence[WantedQuota],
        tenant_id: str,
        rates: Mapping[str, Sequence[Rates]],
        accounts: TenantAllowances,
        now: Now,
    ) -> None:
        self._tenant_id = tenant_id
        self._rates = rates
        self._accounts = accounts
        self._now = now
        self._lines = [_Line(quota, accounts) for quota in quotas]
        self.bounds_tokens = any(line.bounds_tokens for line in self._lines)
        """Whether a request must say beforehand how many tokens it will have at most."""

    @property
    def quotas(self) -> list[WantedQuota]:
        """The quotas."""
        return [line.quota for line in self._lines]

    def check(self, at: int) -> None:
        """Refuse a request that is sure to be refused, before it is read. Reserves nothing.

        `at` is when it began, in microseconds after 1970.

        Raises:
            RateLimited, BudgetExceeded: nothing is left.
        """
        now = self._now()
        for line in self._lines:
            account = line.account(at)
            if not account.fits(0, line.quota.amount, now):
                raise self._refusal(line, 1, at, now)

    def rates(self, deployment_id: str, at: int) -> Rates:
        """What a deployment costs this tenant at a moment."""
        history = self._rates.get(deployment_id)
        return rates_for(history, self._tenant_id, at) if history else FREE

    def reserve(self, deployment_id: str, at: int, most: Quantities) -> Reservation:
        """Hold back what the request to a deployment may come to.

        Raises:
            RateLimited, BudgetExceeded: it does not fit what is left; nothing is held.
            Unavailable: the accounts cannot be had at this moment.
        """
        now = self._now()
        rates = self.rates(deployment_id, at)
        claims = [
            (line.account(at), line.claimed(most, rates), line.quota.amount) for line in self._lines
        ]
        refused = self._accounts.reserve(claims, now)
        if refused is not None:
            line = self._lines[claims.index(refused)]
            raise self._refusal(line, refused[1], at, now)
        return Reservation(self._lines, claims, rates, now)

    def standing(self, at: int) -> list[Standing]:
        """How each of them stands; nothing where that cannot be had at this moment."""
        now = self._now()
        with suppress(Unavailable):
            return [line.standing(at, now) for line in self._lines]
        return []

    def _refusal(
        self, line: _Line, amount: int, at: int, now: float
    ) -> RateLimited | BudgetExceeded:
        quota, standing = line.quota, line.standing(at, now)
        whose = "this key" if quota.key_id is not None else "this key's tenant"
        may = f"{whose} may use {line.told(quota.amount)}"
        wants = ""
        if standing.left and amount > 1:
            left = line.told(standing.left)
            wants = f"; this request may come to {line.told(amount)}, and {left} are left"
        if not quota.period.is_budget:
            seconds = line.account(at).returns(amount, quota.amount, now)
            after = math.ceil(seconds) if seconds < math.inf else accounts.WINDOW
            return RateLimited(f"{may} {_SPANS[quota.period]}{wants}", retry_after=max(1, after))
        resets = None if standing.resets == math.inf else math.ceil(standing.resets)
        return BudgetExceeded(f"{may} {_SPANS[quota.period]}{wants}", resets=resets)


class Reservation:
    """What is held for one request."""

    __slots__ = ("_claims", "_lines", "_rates", "_then", "_used")

    def __init__(
        self, lines: Sequence[_Line], claims: Sequence[Claim], rates: Rates, then: float
    ) -> None:
        self._lines = lines
        self._claims = claims
        self._rates = rates
        self._then = then
        self._used: list[int] = []

    def settle(self, event: PredictionMade) -> None:
        """The request is over: keep what it has used, give back the rest."""
        charged = quantities(event)
        for line, (account, held, _) in zip(self._lines, self._claims, strict=True):
            used = line.used(charged, self._rates)
            account.settle(held, used, self._then)
            self._used.append(used)

    def undo(self) -> None:
        """After all it has used nothing, since it could not be recorded."""
        for (account, _, _), used in zip(self._claims, self._used, strict=True):
            account.settle(0, -used, self._then)


class _Line:
    """One quota with its account."""

    __slots__ = ("_account", "_accounts", "_counts_asked", "_strict", "quota")

    def __init__(self, quota: WantedQuota, accounts: TenantAllowances) -> None:
        self.quota = quota
        self._accounts = accounts
        self._counts_asked = not quota.period.is_budget
        self._strict = quota.strict or self._counts_asked
        self._account: Account | None = None

    @property
    def bounds_tokens(self) -> bool:
        return self._strict and self.quota.measure in (Measure.TOKENS, Measure.MONEY)

    def account(self, at: int) -> Account:
        """The account of the period in which the moment is."""
        account = self._account
        if account is not None and account.since <= at < account.until:
            return account
        quota = self.quota
        since, until = bounds(quota.period, at, quota.zone)
        spent = quota.spent if since == quota.since else 0
        which = OpenAccount(quota.id, quota.period, since, until, spent)
        self._account = account = self._accounts.open(which)
        return account

    def claimed(self, most: Quantities, rates: Rates) -> int:
        """What is held back for a request that may come to so much."""
        return amount(self.quota.measure, most, rates) if self._strict else 0

    def used(self, charged: Quantities, rates: Rates) -> int:
        """What a request has used for good that is charged for so much."""
        measure = self.quota.measure
        if measure is Measure.CONCURRENCY:
            return 0
        if measure is Measure.REQUESTS and self._counts_asked:
            return 1
        return amount(measure, charged, rates)

    def standing(self, at: int, now: float) -> Standing:
        account = self.account(at)
        use = account.use(now)
        resets = account.resets(now)
        if account.until < FOREVER:
            resets = (account.until - at) / 1e6
        return Standing(self.quota, max(0, self.quota.amount - use.used - use.held), resets)

    def told(self, amount: int) -> str:
        """An amount in words."""
        return self.quota.measure.told(amount)


_SPANS: Final = {
    Period.MOMENT: "at once",
    Period.MINUTE: "a minute",
    Period.DAY: "a day",
    Period.MONTH: "a month",
    Period.TOTAL: "in all",
}
