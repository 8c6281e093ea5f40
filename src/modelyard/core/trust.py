"""Where a file may be opened, by what reading it can do."""

from __future__ import annotations

from enum import StrEnum


class Trust(StrEnum):
    """The three kinds of formats, from harmless to hostile."""

    INLINE = "inline"
    """Data, and a parser that thousands of damaged files failed to crash: in the gateway."""
    DATA = "data"
    """Data, but the parser may crash: only in a process of its own."""
    CODE = "code"
    """Can execute code when it is read: only in a sandbox of the minimum level or above."""
