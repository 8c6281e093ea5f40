"""The algorithms against plain lists of what happened."""

from __future__ import annotations

from contextlib import nullcontext

from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.quotas import FOREVER, Period
from modelyard.serving.limits.accounts import RING, WINDOW, LockedAccounts, Seat, abandon, width
from modelyard.serving.limits.ports import OpenAccount, Use


def accounts(cells: memoryview[int], seat: Seat) -> LockedAccounts:
    return LockedAccounts(nullcontext(), seat, lambda which: cells)


def blank(seats: int) -> memoryview[int]:
    return memoryview(bytearray(8 * width(seats))).cast("q")


@given(
    limit=st.integers(1, 20),
    asked=st.lists(st.tuples(st.floats(0, 40), st.integers(1, 5)), max_size=60),
)
def test_no_sixty_seconds_ever_see_more_than_the_limit(
    limit: int, asked: list[tuple[float, int]]
) -> None:
    account = (mine := accounts(blank(1), Seat(0, 1))).open(
        OpenAccount("quo_a", Period.MINUTE, 0, FOREVER)
    )
    now, let_through = 1000.0, list[tuple[float, int]]()
    for pause, amount in asked:
        now += pause
        recent = sum(count for at, count in let_through if now - at <= RING)
        if mine.reserve([(account, amount, limit)], now) is None:
            let_through.append((now, amount))
        else:
            # Nobody is refused for what is longer ago than the window reaches.
            assert recent + amount > limit
            again = account.returns(amount, limit, now)
            if amount <= limit:
                assert 0 < again <= RING
                assert account.fits(amount, limit, now + again)
    for end, _ in let_through:
        assert sum(n for at, n in let_through if end - WINDOW <= at <= end) <= limit


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("reserve"), st.integers(0, 2), st.integers(0, 6)),
            st.tuples(st.just("settle"), st.integers(0, 2), st.integers(0, 6)),
            st.tuples(st.just("die"), st.integers(0, 2), st.just(0)),
        ),
        max_size=80,
    )
)
def test_a_budget_of_several_processes_is_never_overdrawn(
    steps: list[tuple[str, int, int]],
) -> None:
    """Three processes share it; one may die at any time and another take its seat."""
    limit, cells = 20, blank(3)
    which = OpenAccount("quo_a", Period.TOTAL, 0, FOREVER)
    mine = [accounts(cells, Seat(number, 3)) for number in range(3)]
    budgets = [each.open(which) for each in mine]
    held: list[list[int]] = [[], [], []]
    used = 0
    for act, process, amount in steps:
        if act == "reserve" and amount:
            free = limit - used - sum(map(sum, held))
            fits = mine[process].reserve([(budgets[process], amount, limit)], 0.0) is None
            assert fits == (amount <= free)
            if fits:
                held[process].append(amount)
        elif act == "settle" and held[process]:
            was = held[process].pop()
            budgets[process].settle(was, min(amount, was), 0.0)
            used += min(amount, was)
        elif act == "die":
            held[process].clear()
            abandon(cells, Period.TOTAL, Seat(process, 3))
        assert budgets[0].use(0.0) == Use(used, sum(map(sum, held)))
        assert used + sum(map(sum, held)) <= limit
