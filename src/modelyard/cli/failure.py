"""What a command gives up with: one line for people, and what may help."""

from __future__ import annotations


class CommandFailed(Exception):
    """Ends the command with exit code 1."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
