from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.errors import Invalid
from modelyard.core.money import (
    exact_product,
    exact_sum,
    parse_amount,
    plain,
    rounded,
    scaled,
)

digits = st.text("0123456789", min_size=1, max_size=18)
places = st.text("0123456789", min_size=1, max_size=12)


@given(digits, st.none() | places)
def test_an_amount_is_read_exactly(whole: str, fraction: str | None) -> None:
    text = whole if fraction is None else f"{whole}.{fraction}"
    amount = parse_amount(text)
    scale = 0 if fraction is None else len(fraction)
    assert amount.as_tuple().exponent == -scale
    assert Fraction(amount) == Fraction(int(whole + (fraction or "")), 10**scale)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "-1",
        "-0",
        "+1",
        "1e3",
        "1E-3",
        "1_000",
        "1,5",
        ".5",
        "5.",
        "NaN",
        "sNaN",
        "Infinity",
        "0x10",
        "\u0661",
        "1\n",
        "9" * 19,
        "0." + "1" * 13,
        "9" * 100000,
    ],
)
def test_whatever_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="amount"):
        parse_amount(text)


@given(st.integers(0, 10**18), st.lists(st.integers(0, 10**15), min_size=1, max_size=20))
def test_sums_and_products_never_round(price: int, quantities: list[int]) -> None:
    each = Decimal(price).scaleb(-12)
    total = exact_sum(*(exact_product(each, quantity) for quantity in quantities))
    assert Fraction(total) == Fraction(price * sum(quantities), 10**12)
    assert Fraction(scaled(total, -6)) == Fraction(price * sum(quantities), 10**18)


def test_the_largest_price_of_many_rows_is_exact_beyond_28_digits() -> None:
    price = parse_amount("999999999999999999.999999999999")
    total = exact_product(price, 10**12 + 1)
    assert str(total) == str((10**30 - 1) * (10**12 + 1))[:-12] + ".999999999999"


@pytest.mark.parametrize(
    ("amount", "shown"), [("1.500", "1.5"), ("100", "100"), ("1E+2", "100"), ("0.000", "0")]
)
def test_plain_has_neither_exponent_nor_trailing_zeros(amount: str, shown: str) -> None:
    assert str(plain(Decimal(amount))) == shown


@pytest.mark.parametrize(
    ("amount", "currency", "coins"),
    [
        ("0.005", "USD", "0.01"),
        ("0.0049", "USD", "0.00"),
        ("-0.005", "USD", "-0.01"),
        ("2.5", "JPY", "3"),
        ("1.0005", "KWD", "1.001"),
        ("1", "EUR", "1.00"),
    ],
)
def test_rounding_goes_to_the_nearest_coin_and_from_the_middle_away_from_zero(
    amount: str, currency: str, coins: str
) -> None:
    assert str(rounded(Decimal(amount), currency)) == coins
