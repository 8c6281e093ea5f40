"""Namespaces: a network without interfaces, no shared memory with others, nobody else to see."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Collection
from typing import Final

from modelyard.adapters.engine.sandbox.libc import Libc

# linux/sched.h
_FLAGS: Final = {
    "user": 0x10000000,
    "net": 0x40000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "mount": 0x00020000,
}

# linux/mount.h
_NOSUID_NODEV_NOEXEC: Final = 0b1110
_PRIVATE: Final = 0x4000 | 1 << 18

# linux/prctl.h, linux/capability.h
_DROP_FROM_BOUND: Final = 24
_CAPABILITIES_V3: Final = 0x20080522
_MOST_CAPABILITIES: Final = 64


def enter(libc: Libc, names: Collection[str]) -> None:
    """Leave the host's namespaces for new ones; `pid` holds for children only.

    The user keeps the number that it has: files stay its own. The process must have one thread.

    Raises:
        OSError: not allowed here.
    """
    if not names:
        return
    user, group = os.geteuid(), os.getegid()
    libc.call("unshare", sum(_FLAGS[name] for name in names))
    if "user" in names:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")


def mount_private(libc: Libc, memory_bytes: int) -> bool:
    """Give the first process of pid and mount namespaces a /dev/shm and a /proc of its own.

    Returns whether /proc could be mounted, which some containers forbid.
    """
    libc.call("mount", b"none", b"/", None, _PRIVATE, None)
    size = f"size={memory_bytes},mode=0700".encode()
    libc.call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", _NOSUID_NODEV_NOEXEC, size)
    try:
        libc.call("mount", b"proc", b"/proc", b"proc", _NOSUID_NODEV_NOEXEC, None)
    except OSError:
        return False
    return True


def drop_capabilities(libc: Libc) -> None:
    """Give up all privileges, also those that a new user namespace or root came with."""
    for capability in range(_MOST_CAPABILITIES):
        try:
            libc.prctl(_DROP_FROM_BOUND, capability)
        except OSError:  # there is no such capability, or we have no right to any
            break
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITIES_V3, 0), 8)
    libc.call("capset", header, ctypes.create_string_buffer(24))


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)
