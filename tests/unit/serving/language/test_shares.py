"""Places that are shared among however many come."""

import pytest

from modelyard.serving.language.shares import Shares


def filled(shares: Shares, whose: str) -> int:
    """Take as many as may be had; how many are held then."""
    while shares.may_take(whose):
        shares.take(whose)
    return shares.held(whose)


@pytest.mark.parametrize(("places", "spare"), [(16, 8), (4, 1), (1, 1), (8, 4), (3, 0)])
def test_who_is_alone_has_all_places_but_the_spare_ones(places: int, spare: int) -> None:
    assert filled(Shares(places, spare), "a") == places


@pytest.mark.parametrize(("places", "spare"), [(16, 8), (4, 1), (1, 1), (256, 128)])
def test_who_comes_new_finds_a_place(places: int, spare: int) -> None:
    shares = Shares(places, spare)
    filled(shares, "a")

    assert shares.may_take("b")


def test_none_of_those_who_stay_comes_short() -> None:
    shares = Shares(16, 8)
    filled(shares, "a")
    for _ in range(100):
        for whose in ("a", "b", "c"):
            if shares.held(whose):
                shares.give_back(whose)
            # The others were first: they want as much as they can get.
            for other in ("a", "b", "c"):
                if other != whose:
                    filled(shares, other)

    held = [shares.held(whose) for whose in ("a", "b", "c")]
    assert min(held) >= 4
    assert 16 <= sum(held) <= 24


def test_no_place_is_given_twice_or_lost() -> None:
    shares = Shares(2, 0)
    assert filled(shares, "a") == 2
    assert not shares.may_take("b")
    shares.give_back("a")
    shares.take("b")
    assert not shares.may_take("a")
    shares.give_back("a")
    shares.give_back("b")
    assert filled(shares, "b") == 2
