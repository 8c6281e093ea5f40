"""A request to stop, which a signal may make."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from types import FrameType
from typing import Protocol


class Stop(Protocol):
    """What loops ask whether to end. `threading.Event` is one as well."""

    def is_set(self) -> bool:
        """Whether to end."""
        ...

    def wait(self, timeout: float) -> bool:
        """Sleep, but not past the request; whether to end."""
        ...


class StopFlag:
    """A `Stop` that signal handlers may set.

    An Event may not: its lock is not re-entrant, so a handler that sets it while the interrupted
    code is in `wait` can block for ever. This writes to a pipe instead.
    """

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self.count = 0

    def set(self) -> None:
        """Ask to end; `count` tells how often that was done."""
        self.count += 1
        if self.count == 1:
            os.write(self._writing, b"\0")

    def is_set(self) -> bool:
        """Whether to end."""
        return self.count > 0

    def wait(self, timeout: float) -> bool:
        """Sleep, but not past the request; whether to end."""
        poll = select.poll()
        poll.register(self._reading, select.POLLIN)
        poll.poll(max(0.0, timeout) * 1000)
        return self.is_set()

    def on(self, signals: Iterable[signal.Signals]) -> None:
        """Have these signals set the flag. Only the main thread may call this."""
        for number in signals:
            signal.signal(number, self._handle)

    def close(self) -> None:
        """Give the pipe back; the flag can still be asked."""
        os.close(self._reading)
        os.close(self._writing)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.set()
