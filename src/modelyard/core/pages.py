"""Cursor pages: stable under inserts, and never a count of everything."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from modelyard.core.errors import Invalid

T = TypeVar("T")
U = TypeVar("U")

MAX_PAGE: Final = 200


class PageRequest(msgspec.Struct, frozen=True):
    """Ask for `limit` items after the one whose sort key is `after`."""

    limit: int = 50
    after: str | None = None

    @classmethod
    def parse(cls, limit: int = 50, cursor: str | None = None) -> PageRequest:
        """From the `limit` and `cursor` of a query string.

        Raises:
            Invalid: a limit outside 1..200 or a cursor that we did not make.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise Invalid(f"limit {limit} must be between 1 and {MAX_PAGE}")
        if cursor is None:
            return cls(limit)
        try:
            after = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise Invalid("cursor is not one that this server gave out") from None
        return cls(limit, after)

    def after_number(self) -> int | None:
        """The sort key of the last item seen, where lists are ordered by a number.

        Raises:
            Invalid: the cursor is of another list.
        """
        if self.after is None:
            return None
        if not self.after.isascii() or not self.after.isdigit() or len(self.after) > 9:
            raise Invalid("cursor is not one of this list")
        return int(self.after)


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page, and the cursor of the next one, if there is one."""

    items: list[T]
    next_cursor: str | None = None

    @classmethod
    def cut(cls, items: Sequence[T], request: PageRequest, key: Callable[[T], str]) -> Page[T]:
        """Make a page of up to `limit + 1` items that the store was asked for."""
        shown = list(items[: request.limit])
        more = len(items) > request.limit
        cursor = base64.urlsafe_b64encode(key(shown[-1]).encode()).decode() if more else None
        return cls(shown, cursor)

    def map(self, change: Callable[[T], U]) -> Page[U]:
        """The same page with each item changed."""
        return Page([change(item) for item in self.items], self.next_cursor)
