"""System calls that Python has no function for. Imported in the child, before anything heavy."""

from __future__ import annotations

import ctypes
import os
from typing import Any


class Libc:
    """The C library of this process; a call that fails raises OSError."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)

    def call(self, name: str, *arguments: Any) -> int:
        """Call the function `name`, whose -1 means that errno tells what is wrong."""
        result = int(getattr(self._library, name)(*arguments))
        if result == -1:
            code = ctypes.get_errno()
            raise OSError(code, f"{name}: {os.strerror(code)}")
        return result

    def syscall(self, number: int, *arguments: Any) -> int:
        """Call the kernel by number. Whole numbers are passed as C longs."""
        made = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
        return self.call("syscall", ctypes.c_long(number), *made)

    def prctl(self, option: int, *arguments: int) -> int:
        """Call prctl; arguments that are not given are 0."""
        filled = (*arguments, 0, 0, 0, 0)[:4]
        return self.call("prctl", option, *(ctypes.c_ulong(a) for a in filled))
