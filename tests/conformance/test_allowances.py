"""What every adapter of allowances does, seen from one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.adapters.allowances import SharedAllowances
from modelyard.adapters.memory.allowances import MemoryAllowances
from modelyard.core.quotas import FOREVER, Period
from modelyard.serving.limits.ports import Account, Allowances, OpenAccount, TenantAllowances, Use

TENANT = "tnt_a"


@pytest.fixture(params=["memory", "shared"])
def allowances(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Allowances]:
    if request.param == "memory":
        yield MemoryAllowances()
        return
    SharedAllowances.make(tmp_path / "allowances", gateways=2)
    shared = SharedAllowances(tmp_path / "allowances")
    yield shared
    shared.close()


@pytest.fixture
def accounts(allowances: Allowances) -> TenantAllowances:
    return allowances.of(TENANT)


def budget(accounts: TenantAllowances, opening: int = 0, since: int = 0) -> Account:
    return accounts.open(OpenAccount("quo_a", Period.DAY, since, since + 1000, opening))


def rate(accounts: TenantAllowances) -> Account:
    return accounts.open(OpenAccount("quo_r", Period.MINUTE, 0, FOREVER))


def presence(accounts: TenantAllowances) -> Account:
    return accounts.open(OpenAccount("quo_c", Period.MOMENT, 0, FOREVER))


def test_what_is_held_is_settled_and_the_rest_is_free_again(accounts: TenantAllowances) -> None:
    account = budget(accounts)
    assert accounts.reserve([(account, 7, 10)], 0.0) is None
    assert account.use(0.0) == Use(0, 7)
    assert accounts.reserve([(account, 4, 10)], 0.0) == (account, 4, 10)

    account.settle(7, 2, 0.0)
    assert account.use(0.0) == Use(2, 0)
    assert accounts.reserve([(account, 8, 10)], 0.0) is None
    assert accounts.reserve([(account, 1, 10)], 0.0) is not None


def test_a_claim_of_nothing_fits_while_anything_is_left(accounts: TenantAllowances) -> None:
    account = budget(accounts, opening=9)
    assert accounts.reserve([(account, 0, 10)], 0.0) is None
    account.settle(0, 5, 0.0)
    assert account.use(0.0) == Use(14, 0)
    assert accounts.reserve([(account, 0, 10)], 0.0) is not None


def test_of_several_claims_all_are_held_or_none(accounts: TenantAllowances) -> None:
    first, second, third = budget(accounts), rate(accounts), presence(accounts)
    assert accounts.reserve([(first, 1, 9), (second, 1, 9), (third, 1, 1)], 0.0) is None
    refused = accounts.reserve([(first, 1, 9), (second, 1, 9), (third, 1, 1)], 0.0)
    assert refused == (third, 1, 1)
    assert first.use(0.0) == Use(0, 1)
    assert second.use(0.0) == Use(1)


def test_a_budget_begins_with_what_was_spent_before(accounts: TenantAllowances) -> None:
    assert budget(accounts, opening=6).use(0.0) == Use(6, 0)
    # Whoever opens it later finds what is there.
    assert budget(accounts, opening=3).use(0.0) == Use(6, 0)


def test_each_period_has_an_account_of_its_own(accounts: TenantAllowances) -> None:
    today, tomorrow = budget(accounts), budget(accounts, since=1000)
    assert accounts.reserve([(today, 10, 10)], 0.0) is None
    assert accounts.reserve([(tomorrow, 10, 10)], 0.0) is None
    today.settle(10, 3, 0.0)
    assert (today.use(0.0), tomorrow.use(0.0)) == (Use(3, 0), Use(0, 10))


def test_a_minute_is_any_sixty_seconds(accounts: TenantAllowances) -> None:
    account = rate(accounts)
    for moment in (0.5, 30.0, 59.9):
        assert accounts.reserve([(account, 1, 3)], moment) is None
    assert accounts.reserve([(account, 1, 3)], 60.4) is not None
    assert account.returns(1, 3, 60.4) == pytest.approx(0.6)
    assert accounts.reserve([(account, 1, 3)], 61.0) is None
    assert accounts.reserve([(account, 1, 3)], 61.0) is not None
    assert account.resets(61.0) == pytest.approx(61.0)
    assert account.use(1000.0) == Use(0)


def test_what_a_minute_held_too_much_is_given_back_where_it_was_counted(
    accounts: TenantAllowances,
) -> None:
    account = rate(accounts)
    assert accounts.reserve([(account, 80, 100)], 5.0) is None
    account.settle(80, 20, 5.0)
    assert account.use(6.0) == Use(20)
    account.settle(0, 90, 6.0)
    assert account.use(6.0) == Use(110)
    # It is over: there is nothing left to give back.
    assert accounts.reserve([(account, 1, 100)], 300.0) is None
    account.settle(20, 0, 5.0)
    assert account.use(300.0) == Use(1)


def test_presence_ends_with_the_request(accounts: TenantAllowances) -> None:
    account = presence(accounts)
    assert accounts.reserve([(account, 1, 2)], 0.0) is None
    assert accounts.reserve([(account, 1, 2)], 0.0) is None
    assert accounts.reserve([(account, 1, 2)], 0.0) is not None
    account.settle(1, 0, 0.0)
    assert account.use(0.0) == Use(0, 1)
    assert accounts.reserve([(account, 1, 2)], 0.0) is None


def test_what_was_settled_can_be_taken_back(accounts: TenantAllowances) -> None:
    for account in (budget(accounts), rate(accounts), presence(accounts)):
        assert accounts.reserve([(account, 5, 9)], 0.0) is None
        account.settle(5, 4, 0.0)
        account.settle(0, -4, 0.0)
        assert account.use(0.0) == Use(0, 0)
