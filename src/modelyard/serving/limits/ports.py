"""Where gateways count together what they let through.

The counts are shared by all gateways that enforce a quota, and every call is answered at once: no
adapter may wait for a network in one. (One that counts on another host leases allowances ahead of
time, and gives from those.) A gateway calls from one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from modelyard.core.quotas import Period


class OpenAccount(NamedTuple):
    """Which account: a quota's, in one of its periods.

    `since` and `until` are the period's, in microseconds after 1970. `opening` is what had been
    used of it before anybody counted here; it matters to whoever opens the account first.
    """

    quota_id: str
    period: Period
    since: int
    until: int
    opening: int = 0


class Use(NamedTuple):
    """What is used of a quota: for good, and what is held for requests that are under way."""

    used: int
    held: int = 0


class Account(Protocol):
    """The count of one quota in one period. Amounts are in the quota's unit, 0 or more; `now` and
    `then` are moments of the monotonic clock, in seconds.
    """

    since: int
    until: int

    def fits(self, amount: int, limit: int, now: float) -> bool:
        """Whether there is room for so much; for nothing there is while anything is left."""
        ...

    def take(self, amount: int, now: float) -> None:
        """Hold so much, whether it fits or not: for `Allowances.reserve`, which has looked."""
        ...

    def use(self, now: float) -> Use:
        """What is used."""
        ...

    def taken(self, now: float) -> int:
        """What is used and what is held, together."""
        ...

    def resets(self, now: float) -> float:
        """Seconds until all is free again if nobody asks for more; infinite as `returns`."""
        ...

    def returns(self, amount: int, limit: int, now: float) -> float:
        """Seconds until so much will be free again, as far as is known; infinite if that is not
        before the period is over.
        """
        ...

    def settle(self, held: int, used: int, then: float) -> None:
        """The request for which so much was held `then` is over and has used so much.

        That may be more than was held: what is used is used. Less than nothing takes back what
        was settled before. It never raises.
        """
        ...


Claim = tuple[Account, int, int]
"""So much of an account, of which there is as much as the last number says."""


class TenantAllowances(Protocol):
    """The accounts of one tenant: what is reserved of several is reserved of all or of none."""

    def open(self, which: OpenAccount) -> Account:
        """The account, a new one if need be. Raises Unavailable if there is no room for one."""
        ...

    def reserve(self, claims: Sequence[Claim], now: float) -> Claim | None:
        """Hold all the claims or none.

        Returns:
            None when they are held; else the first that does not fit.

        Raises:
            Unavailable: the accounts cannot be had at this moment.
        """
        ...


class Allowances(Protocol):
    """The accounts of all tenants."""

    def of(self, tenant_id: str) -> TenantAllowances:
        """Those of one."""
        ...

    def close(self) -> None:
        """Give back what is held, and count no more."""
        ...
