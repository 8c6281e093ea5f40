"""Quotas: use cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from modelyard.core import ids
from modelyard.core.clock import Clock
from modelyard.core.errors import Forbidden, Invalid
from modelyard.core.pages import Page, PageRequest
from modelyard.core.ports import Store
from modelyard.core.quotas import Measure, Period
from modelyard.tenancy.ports import KeyRepository, ListingRepository, QuotaRepository
from modelyard.tenancy.quota import Alert, Quota, check_pair, check_place, read_amount


class QuotaTransaction(Protocol):
    """A transaction over keys and quotas."""

    def keys(self, tenant_id: str) -> KeyRepository: ...

    def quotas(self, tenant_id: str) -> QuotaRepository: ...

    def listings(self, tenant_id: str) -> ListingRepository: ...

    def bump(self) -> None:
        """Tell every gateway, once this commits."""
        ...


class QuotaService:
    """Sets, lists and removes the quotas of a tenant. `zone_of` is the time zone of its bills."""

    def __init__(
        self,
        store: Store[QuotaTransaction],
        clock: Clock,
        zone_of: Callable[[str], str] = lambda tenant_id: "UTC",
    ) -> None:
        self._store = store
        self._clock = clock
        self._zone_of = zone_of

    def put(
        self,
        tenant_id: str,
        key_id: str | None,
        measure: Measure,
        period: Period,
        amount: str,
        *,
        strict: bool = True,
        alert_at: int = 0,
        imposed: bool = False,
        deployment: str = "",
        each_caller: bool = False,
    ) -> Quota:
        """Set a quota, in place of the one of the same key or deployment, measure and period if
        there is one.

        It is in force in every gateway within a second. Its days and months begin where those of
        the tenant's bills do at this time; one that takes another's place goes on with its days.

        Raises:
            Invalid: this measure has no such period, or the amount is no good; a limit that is
                not strict or has an alert.
            NotFound: the tenant has no such key or deployment.
            Conflict: there are too many quotas.
        """
        check_pair(measure, period)
        if not period.is_budget and (not strict or alert_at):
            raise Invalid(
                f"only budgets (per day, month or total) can be soft or have an alert; "
                f"{measure} per {period} is a limit"
            )
        now = self._clock.now()
        quota = Quota(
            id=ids.new_id(ids.QUOTA),
            tenant_id=tenant_id,
            key_id=key_id,
            measure=measure,
            period=period,
            amount=read_amount(measure, amount),
            strict=strict,
            alert_at=alert_at,
            imposed=imposed,
            zone=self._zone_of(tenant_id),
            created_at=now,
            updated_at=now,
            opened=not period.is_budget,
            deployment=deployment,
            each_caller=each_caller,
        )
        check_place(quota)
        with self._store.begin() as tx:
            if key_id is not None:
                tx.keys(tenant_id).get(key_id)
            if deployment:
                tx.listings(tenant_id).deployment_id(deployment)
            kept = tx.quotas(tenant_id).put(quota)
            tx.bump()
        return kept

    def list(self, tenant_id: str, page: PageRequest) -> Page[Quota]:
        """The tenant's quotas, newest first."""
        with self._store.read() as tx:
            return tx.quotas(tenant_id).list(page)

    def get(self, tenant_id: str, quota_id: str) -> Quota:
        """Raises NotFound."""
        with self._store.read() as tx:
            return tx.quotas(tenant_id).get(quota_id)

    def spent(self, tenant_id: str, quotas: Sequence[Quota]) -> dict[str, tuple[int, int]]:
        """Of budgets: when the latest period began that anything was spent in, in microseconds
        after 1970, and how much was, as far as the ledger knows.
        """
        with self._store.read() as tx:
            return tx.quotas(tenant_id).spent([quota.id for quota in quotas])

    def remove(self, tenant_id: str, quota_id: str, *, operator: bool = False) -> None:
        """Put a quota out of force, within a second.

        Raises:
            NotFound: the tenant has no such quota.
            Forbidden: the operator has imposed it, and is not who asks.
        """
        with self._store.begin() as tx:
            quotas = tx.quotas(tenant_id)
            if quotas.get(quota_id).imposed and not operator:
                raise Forbidden("this quota is the operator's: it cannot be removed by its tenant")
            quotas.remove(quota_id)
            tx.bump()

    def alerts(self, tenant_id: str, page: PageRequest) -> Page[Alert]:
        """What was told of the tenant's budgets, newest first."""
        with self._store.read() as tx:
            return tx.quotas(tenant_id).alerts(page)
