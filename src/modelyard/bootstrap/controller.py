"""The controller: reconciles, ingests and reaps, while it holds the lease."""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from modelyard.bootstrap.parts import make_ingester, open_home, open_store
from modelyard.core import ids
from modelyard.core.clock import SystemClock

if TYPE_CHECKING:
    from modelyard.core.settings import Settings

LEASE: Final = "controller"


def run(settings: Settings) -> int:
    """Work until SIGTERM; returns the exit status."""
    from modelyard.adapters.allowances.keeper import Keeper
    from modelyard.adapters.budget_counts import BudgetCounter
    from modelyard.adapters.engine.rounds import LEASE_SECONDS, Round, Rounds
    from modelyard.adapters.store import Lease
    from modelyard.billing.invoicing import InvoicingService
    from modelyard.billing.meter import Meter
    from modelyard.deployment.reconciler import Reconciler
    from modelyard.tenancy.budgets import Budgets
    from modelyard.tenancy.logins import Logins
    from modelyard.tenancy.tenant import DEFAULT

    home, clock, me = open_home(settings), SystemClock(), ids.new_id(ids.WORKER)
    store = open_store(settings, home)
    lease, ttl = Lease(store), timedelta(seconds=LEASE_SECONDS)
    reconciler = Reconciler(store, clock)
    ingester = make_ingester(home, store)
    budgets = Budgets(store, clock)
    keeper = Keeper(home.allowances, store, clock, ingester.ingest)

    def reap() -> int:
        with store.begin() as tx:
            return tx.queue().reap(clock.now())

    def forget_answers() -> int:
        with store.begin() as tx:
            tenants = tx.tenants().ids()
            return sum(tx.idempotency(tenant).expire(clock.now()) for tenant in tenants)

    closing: list[Round] = []
    if settings.invoice_after_hours:
        grace = timedelta(hours=settings.invoice_after_hours)
        invoicing = InvoicingService(store, clock, settings.currency, DEFAULT)
        closing.append(Round("close months", 60.0, lambda: invoicing.close(grace)))

    rounds = Rounds(
        acquire=lambda: lease.acquire(LEASE, me, clock.now(), ttl),
        release=lambda: lease.release(LEASE, me),
        rounds=[
            Round("reconcile", 0.2, reconciler.reconcile),
            Round("ingest", 0.2, ingester.ingest),
            Round("meter", 15.0, Meter(store, clock).measure),
            *closing,
            Round("open budgets", 0.2, budgets.open),
            Round("tell of budgets", 1.0, budgets.tell),
            Round("count budgets", 2.0, BudgetCounter(home.metrics, store, clock).write),
            Round("give back what dead gateways held", 0.5, keeper.reap),
            Round("correct budgets", 1.0, keeper.correct),
            Round("forget accounts", 300.0, keeper.forget),
            Round("reap", 1.0, reap),
            Round("forget silent gateways", 60.0, reconciler.forget_silent_gateways),
            Round("forget idempotent answers", 3600.0, forget_answers),
            Round("forget ended logins", 3600.0, Logins(store, clock).forget),
        ],
        clock=clock,
    )
    signal.signal(signal.SIGTERM, lambda *_: rounds.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rounds.run()
    # Gateways stop before the controller: what they wrote last is taken in.
    ingester.ingest()
    return 0
