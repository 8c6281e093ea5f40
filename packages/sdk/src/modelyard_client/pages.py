"""Lists come in pages; callers get the items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from modelyard_client.errors import BadArgument
from modelyard_client.transport import Transport

T = TypeVar("T")

PAGE: Final = 200


class Page(msgspec.Struct, Generic[T]):
    """One page, and the cursor of the next one, if there is one."""

    items: list[T]
    next_cursor: str | None = None


def collect(transport: Transport, path: str, kind: Any, limit: int) -> Sequence[Any]:
    """Up to `limit` items of the list at `path`, in the server's order.

    `kind` is the `Page[...]` to read.

    Raises:
        BadArgument: the limit is below one.
    """
    if limit < 1:
        raise BadArgument(f"limit is {limit}; at least 1 is needed")
    items: list[Any] = []
    cursor: str | None = None
    while len(items) < limit:
        params = {"limit": min(PAGE, limit - len(items)), "cursor": cursor}
        page = transport.request("GET", path, kind, params=params)
        items.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    return items
