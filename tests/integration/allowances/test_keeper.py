"""The controller's part: what is given back, corrected and forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelyard.adapters.allowances import SharedAllowances
from modelyard.adapters.allowances.keeper import QUIET, Keeper
from modelyard.adapters.memory import MemoryStore
from modelyard.adapters.routes import wanted_quota
from modelyard.core.clock import ManualClock, microseconds
from modelyard.core.quotas import FOREVER, Measure, Period, bounds
from modelyard.serving.limits.ports import Account, OpenAccount, TenantAllowances, Use
from modelyard.tenancy.quota import Quota
from modelyard.tenancy.tenant import Tenant
from tests.integration.allowances.test_processes import running, until_held

NOW = ManualClock().now()
TENANT = "tnt_a"
QUOTA = Quota(
    "quo_a", TENANT, None, Measure.ROWS, Period.DAY, 100, True, 0, False, "UTC", NOW, NOW, True
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    with store.begin() as tx:
        tx.tenants().add(Tenant(TENANT, "a", NOW))
        tx.quotas(TENANT).put(QUOTA)
    return store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "allowances"
    SharedAllowances.make(path, gateways=2)
    return path


@pytest.fixture
def accounts(path: Path) -> Iterator[TenantAllowances]:
    shared = SharedAllowances(path)
    yield shared.of(TENANT)
    shared.close()


@pytest.fixture
def keeper(path: Path, store: MemoryStore, clock: ManualClock) -> Keeper:
    return Keeper(path, store, clock, lambda: None)


def today(accounts: TenantAllowances, quota: Quota = QUOTA) -> Account:
    since, until = bounds(Period.DAY, microseconds(NOW), "UTC")
    return accounts.open(OpenAccount(quota.id, quota.period, since, until))


def ledger_says(store: MemoryStore, spent: int) -> None:
    since, _ = bounds(Period.DAY, microseconds(NOW), "UTC")
    with store.begin() as tx:
        tx.state.spent[QUOTA.id, since] = (spent, 0)


def test_a_quiet_budget_is_corrected_by_the_ledger(
    accounts: TenantAllowances, keeper: Keeper, store: MemoryStore, clock: ManualClock
) -> None:
    account = today(accounts)
    assert accounts.reserve([(account, 30, 100)], 0.0) is None
    account.settle(30, 20, 0.0)
    ledger_says(store, 18)
    assert keeper.correct() == 0
    clock.advance(QUIET)
    assert keeper.correct() == 1
    assert account.use(0.0) == Use(18, 0)
    assert keeper.correct() == 0
    assert accounts.reserve([(account, 82, 100)], 0.0) is None
    assert accounts.reserve([(account, 1, 100)], 0.0) is not None


def test_a_budget_that_is_in_use_is_left_alone(
    accounts: TenantAllowances, keeper: Keeper, store: MemoryStore, clock: ManualClock
) -> None:
    account = today(accounts)
    ledger_says(store, 50)
    keeper.correct()
    assert accounts.reserve([(account, 10, 100)], 0.0) is None
    clock.advance(QUIET)
    assert keeper.correct() == 0
    account.settle(10, 10, 0.0)
    assert keeper.correct() == 0
    clock.advance(QUIET)
    assert keeper.correct() == 1
    assert account.use(0.0) == Use(50, 0)


def test_what_a_dead_process_held_is_given_back(path: Path, keeper: Keeper) -> None:
    with running("hold", path, 50) as holder:
        until_held(holder)
        assert keeper.reap() == 0
    assert keeper.reap() == 1
    assert keeper.reap() == 0


def test_accounts_of_quotas_that_are_no_more_are_freed_after_two_looks(
    accounts: TenantAllowances, keeper: Keeper, clock: ManualClock
) -> None:
    gone = replace(QUOTA, id="quo_gone")
    for quota in (QUOTA, gone):
        account = today(accounts, quota)
        assert accounts.reserve([(account, 5, 100)], 0.0) is None
        account.settle(5, 5, 0.0)
    assert (keeper.forget(), keeper.forget(), keeper.forget()) == (0, 1, 0)
    assert today(accounts).use(0.0) == Use(5, 0)
    assert today(accounts, gone).use(0.0) == Use(0, 0)
    # Yesterday's may come back with the clock.
    clock.advance(86_400)
    assert (keeper.forget(), keeper.forget()) == (0, 1)
    assert today(accounts).use(0.0) == Use(5, 0)
    clock.advance(2 * 86_400)
    assert (keeper.forget(), keeper.forget()) == (0, 1)


def test_each_tenant_may_have_an_account_of_a_deployments_limit(
    path: Path, accounts: TenantAllowances, keeper: Keeper, store: MemoryStore
) -> None:
    limit = replace(QUOTA, id="quo_d", period=Period.MINUTE, deployment="m", each_caller=True)
    with store.begin() as tx:
        tx.quotas(TENANT).put(limit)
    wanted = wanted_quota(limit, 0, 0)
    for caller in (TENANT, "tnt_gone"):
        which = OpenAccount(wanted.account_of(caller), Period.MINUTE, 0, FOREVER)
        assert accounts.reserve([(accounts.open(which), 5, 100)], 0.0) is None
    assert (keeper.forget(), keeper.forget(), keeper.forget()) == (0, 1, 0)
