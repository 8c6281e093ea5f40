"""How a demo shows its steps on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


class Steps:
    """Numbers them. Each has the command that does the same, then what the server answered."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._number = 0

    def begin(self, title: str, command: str) -> None:
        """Say what comes next."""
        self._number += 1
        self._out.print()
        self._out.print(f"{self._number:>2} {title}", style="bold")
        self._out.print(f"   $ {command}", style="cyan", soft_wrap=True)

    def say(self, text: str) -> None:
        """A line of what came of it."""
        self._out.print(f"   {text}", highlight=False)

    def show(self, what: RenderableType) -> None:
        """Something larger, such as a table."""
        from rich.padding import Padding

        self._out.print(Padding(what, (0, 0, 0, 3), expand=False))
