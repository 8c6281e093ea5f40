"""What a sandboxed process may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class SandboxPolicy:
    """Everything else is refused.

    Attributes:
        scratch: the one folder that it may write in; its working folder and its home as well.
        memory_bytes: address space of each of its processes. Libraries map more than they use:
            leave 2 GiB beside the model.
        resident_bytes: memory that all its processes together really use, by default
            `memory_bytes`; past it, they are killed.
        readable: files and folders that it may read, beside Python, its libraries and `scratch`.
        python_path: folders to import from, beside those of this process; readable as well.
        file_bytes: size of any one file.
        scratch_bytes: size of all its files together; past it, it is killed.
        scratch_files: how many files there may be; past it, it is killed.
        open_files: descriptors of each process.
        cpu_seconds: processor time, or None for no limit.
        processes: how many it may be at once. 1: it starts no other, and runs no program.
        threads: in all its processes together; past it, it is killed.
        niceness: how far it gives way to processes that answer requests.
        deaf_server: for libraries that insist on a server of their own. Making a Unix stream
            socket works, binding it and listening seem to; nothing is bound, and nobody is heard.
        environ: variables beside PATH, HOME, TMPDIR and the like.
    """

    scratch: Path
    memory_bytes: int
    resident_bytes: int | None = None
    readable: tuple[Path, ...] = ()
    python_path: tuple[Path, ...] = ()
    file_bytes: int = 4096 * MIB
    scratch_bytes: int = 16384 * MIB
    scratch_files: int = 100_000
    open_files: int = 512
    cpu_seconds: int | None = None
    processes: int = 1
    threads: int = 256
    niceness: int = 0
    deaf_server: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
