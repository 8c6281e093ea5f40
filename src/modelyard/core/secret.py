"""A secret of somebody's that has to be used, and must not be seen."""

from __future__ import annotations

from typing import Final


class Secret:
    """Text that shows itself to nobody who does not ask for it: not in a log, a message, a
    traceback's values or an answer.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text: Final = text

    def reveal(self) -> str:
        """The text, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled")
