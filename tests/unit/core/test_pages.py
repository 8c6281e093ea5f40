import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.errors import Invalid
from modelyard.core.pages import Page, PageRequest


@given(st.sets(st.text(), max_size=50), st.integers(1, 7))
def test_following_the_cursors_shows_each_item_once(keys: set[str], limit: int) -> None:
    keys = {key for key in keys if key.isprintable()}
    seen: list[str] = []
    cursor = None
    while True:
        request = PageRequest.parse(limit, cursor)
        after = request.after
        rest = sorted(key for key in keys if after is None or key > after)
        page = Page.cut(rest[: limit + 1], request, str)
        seen += page.items
        assert len(page.items) <= limit
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(keys)


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_limits_are_bounded(limit: int) -> None:
    with pytest.raises(Invalid, match="between 1 and 200"):
        PageRequest.parse(limit)


@pytest.mark.parametrize("cursor", ["a", "%%%%%", "_w==", "\u00e4"])
def test_foreign_cursors_are_refused(cursor: str) -> None:
    with pytest.raises(Invalid, match="cursor"):
        PageRequest.parse(10, cursor)


@pytest.mark.parametrize("key", ["", "x", "-1", "1" * 10, "\u0661"])
def test_a_cursor_of_another_list_is_refused_where_numbers_are_expected(key: str) -> None:
    cursor = base64.urlsafe_b64encode(key.encode()).decode()
    with pytest.raises(Invalid, match="not one of this list"):
        PageRequest.parse(10, cursor).after_number()


def test_a_page_maps_its_items_and_keeps_its_cursor() -> None:
    page = Page([1, 2], "next")
    assert page.map(str) == Page(["1", "2"], "next")
