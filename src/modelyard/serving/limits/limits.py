"""The quotas in force: what a request reserves before it runs, and what it has used at its end.

Minutes and moments count what is asked of the server, failures too. Budgets count what is billed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from modelyard.core.access import Grant
from modelyard.core.errors import Unavailable
from modelyard.core.events import PredictionMade
from modelyard.core.metering import Quantities, quantities
from modelyard.core.quotas import Measure
from modelyard.serving.limits.charges import FREE, Rates, rates_for
from modelyard.serving.limits.line import VARIES, Line, Standing
from modelyard.serving.limits.ports import Allowances, Claim, TenantAllowances, Use
from modelyard.serving.limits.quota import WantedQuota

Now = Callable[[], float]
_NOTHING = Quantities()


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
        self._quotas: dict[tuple[str, str], list[WantedQuota]] = {}
        for quota in quotas:
            self._quotas.setdefault((quota.tenant_id, quota.deployment), []).append(quota)
        self._known: dict[tuple[str, str, str], KeyLimits | None] = {}

    def of(self, grant: Grant, owner_id: str, deployment: str) -> KeyLimits | None:
        """What holds for this key at this deployment of a tenant; None where nothing does."""
        called = (grant.key_id, owner_id, deployment)
        try:
            return self._known[called]
        except KeyError:
            self._known[called] = found = self._find(grant, owner_id, deployment)
            return found

    def use(self, quota_id: str, at: int) -> Use | None:
        """What is used of a quota at present; None of one that is not in force, or that each
        caller has for itself.
        """
        for quota in chain.from_iterable(self._quotas.values()):
            if quota.id == quota_id and not quota.each_caller:
                line = Line(quota, quota.tenant_id, self._allowances.of(quota.tenant_id))
                return line.account(at).use(self._now())
        return None

    def _find(self, grant: Grant, owner_id: str, deployment: str) -> KeyLimits | None:
        mine = [
            quota
            for quota in self._quotas.get((grant.tenant_id, ""), ())
            if quota.key_id in (None, grant.key_id)
        ]
        groups = [
            _Group(quotas, grant.tenant_id, self._allowances.of(whose))
            for whose, quotas in (
                (grant.tenant_id, mine),
                (owner_id, self._quotas.get((owner_id, deployment), ())),
            )
            if quotas
        ]
        return KeyLimits(groups, grant.tenant_id, self._rates, self._now) if groups else None


class _Group:
    """Quotas whose accounts are of one tenant: of these, all is held or nothing."""

    def __init__(
        self, quotas: Sequence[WantedQuota], caller_id: str, accounts: TenantAllowances
    ) -> None:
        self.lines = [Line(quota, caller_id, accounts) for quota in quotas]
        self.accounts = accounts


class KeyLimits:
    """What holds for one key at one deployment: the key's quotas, its tenant's, and those of the
    deployment, which are its publisher's.
    """

    def __init__(
        self,
        groups: Sequence[_Group],
        tenant_id: str,
        rates: Mapping[str, Sequence[Rates]],
        now: Now,
    ) -> None:
        self._tenant_id = tenant_id
        self._rates = rates
        self._now = now
        self._groups = groups
        self._lines = [line for group in groups for line in group.lines]
        self._told = [line for line in self._lines if line.told]
        self._priced = any(line.quota.measure is Measure.MONEY for line in self._lines)
        self._counts = any(line.use == VARIES for line in self._lines)
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
            if not line.account(at).fits(0, line.amount, now):
                raise line.refusal(1, at, now)

    def rates(self, deployment_id: str, at: int) -> Rates:
        """What a deployment costs this tenant at a moment."""
        history = self._rates.get(deployment_id)
        return rates_for(history, self._tenant_id, at) if history else FREE

    def reserve(self, deployment_id: str, at: int, most: Quantities) -> Reservation:
        """Hold back what the request to a deployment may come to.

        Raises:
            RateLimited, BudgetExceeded: it does not fit what is left; nothing is held.
            Unavailable: the accounts cannot be had at this moment; nothing is held.
        """
        now = self._now()
        rates = self.rates(deployment_id, at) if self._priced else FREE
        claims: list[Claim] = []
        try:
            for group in self._groups:
                wanted: list[Claim] = [
                    (
                        line.account(at),
                        line.claim if line.claim != VARIES else line.claimed(most, rates),
                        line.amount,
                    )
                    for line in group.lines
                ]
                refused = group.accounts.reserve(wanted, now)
                if refused is not None:
                    line = group.lines[wanted.index(refused)]
                    raise line.refusal(refused[1], at, now)
                claims += wanted
        except Exception:
            for account, held, _ in claims:
                account.settle(held, 0, now)
            raise
        return Reservation(self._lines, claims, rates, now, self._counts)

    def standing(self, at: int) -> list[Standing]:
        """How those stand that the caller may know of; nothing where that cannot be had at this
        moment.
        """
        now = self._now()
        try:
            return [line.standing(at, now) for line in self._told]
        except Unavailable:
            return []


class Reservation:
    """What is held for one request. `counts`: its end matters to some of the quotas."""

    __slots__ = ("_claims", "_counts", "_lines", "_rates", "_then", "_used")

    def __init__(
        self,
        lines: Sequence[Line],
        claims: Sequence[Claim],
        rates: Rates,
        then: float,
        counts: bool,
    ) -> None:
        self._lines = lines
        self._claims = claims
        self._rates = rates
        self._then = then
        self._counts = counts
        self._used: list[int] = []

    def settle(self, event: PredictionMade) -> None:
        """The request is over: keep what it has used, give back the rest."""
        charged = quantities(event) if self._counts else _NOTHING
        rates, then = self._rates, self._then
        for line, (account, held, _) in zip(self._lines, self._claims, strict=True):
            used = line.use if line.use != VARIES else line.used(charged, rates)
            account.settle(held, used, then)
            self._used.append(used)

    def undo(self) -> None:
        """After all it has used nothing, since it could not be recorded."""
        for (account, _, _), used in zip(self._claims, self._used, strict=True):
            account.settle(0, -used, self._then)
