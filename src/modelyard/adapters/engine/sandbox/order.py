"""What the parent tells the launcher: the policy, worked out to plain values, as one JSON text."""

from __future__ import annotations

import json
from typing import NamedTuple


class Order(NamedTuple):
    """Read in the child before anything is imported that is not in the standard library.

    `landlock` and `seccomp` tell which of them to use; `readable`, `runnable` and `devices` are
    paths. `target` is a module's name, or the path of a script if it ends in `.py`.
    """

    target: str
    arguments: list[str]
    parent: int
    prefix: str
    scratch: str
    readable: list[str]
    runnable: list[str]
    descriptors: list[int]
    namespaces: list[str]
    landlock: bool
    seccomp: bool
    memory_bytes: int
    file_bytes: int
    open_files: int
    cpu_seconds: int | None
    processes: int
    threads: int
    niceness: int
    deaf_server: bool

    def pack(self) -> str:
        """As one argument of a command."""
        return json.dumps(self._asdict(), separators=(",", ":"))

    @classmethod
    def unpack(cls, text: str) -> Order:
        """The order from `pack`."""
        return cls(**json.loads(text))
