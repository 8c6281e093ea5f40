"""Landlock: which files a process and its children may reach. The kernel's docs: landlock(7)."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

from modelyard.adapters.engine.sandbox.libc import Libc

# The same numbers on every machine.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446

_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
_REMOVE_DIR: Final = 1 << 4
_REMOVE_FILE: Final = 1 << 5
_MAKE_DIR: Final = 1 << 7
_MAKE_REG: Final = 1 << 8
_REFER: Final = 1 << 13
_TRUNCATE: Final = 1 << 14
_IOCTL_DEV: Final = 1 << 15

READ: Final = READ_FILE | READ_DIR
# Neither links, pipes, sockets nor devices: the parent reads what is left here.
KEEP: Final = (
    READ | WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
)

_OF_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEV

# All rights on files that each version of the interface knows, newest first.
_HANDLED: Final = ((5, (1 << 16) - 1), (3, (1 << 15) - 1), (2, (1 << 14) - 1), (1, (1 << 13) - 1))
_NET_ABI: Final = 4
_BIND_AND_CONNECT_TCP: Final = 0b11
SCOPE_ABI: Final = 6
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 0b11


def abi(libc: Libc) -> int:
    """The version of the kernel's interface; 0 where it has none or it is switched off."""
    try:
        return libc.syscall(_CREATE_RULESET, 0, 0, _ASK_VERSION)
    except OSError:
        return 0


def restrict(libc: Libc, rules: Iterable[tuple[str, int]]) -> None:
    """From now on only what `rules` name can be reached: pairs of a path and rights beneath it.

    Paths that are not there are passed over. What was open stays open. All TCP is refused from
    ABI 4 on, signals and abstract sockets to the outside from ABI 6 on. The process must have
    set no-new-privileges.

    Raises:
        OSError: the kernel refuses; then nothing is restricted.
    """
    known = abi(libc)
    handled = next((rights for least, rights in _HANDLED if known >= least), 0)
    attributes = struct.pack(
        "=QQQ",
        handled,
        _BIND_AND_CONNECT_TCP if known >= _NET_ABI else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if known >= SCOPE_ABI else 0,
    )
    # Older kernels take only the part of the structure that they know, or zeros behind it.
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = libc.syscall(_CREATE_RULESET, buffer, len(attributes), 0)
    try:
        for path, rights in rules:
            _allow(libc, ruleset, path, rights & handled)
        libc.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(libc: Libc, ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, place), 12)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(place)
