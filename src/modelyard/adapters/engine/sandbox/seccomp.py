"""The filter on system calls: a list of what is refused, as a program that the kernel runs.

A list of what is allowed would be safer and would not last: libraries find new calls with every
release. What it has to refuse is what Landlock does not see (sockets, processes, memory outside
of the limits, metadata of files) and what only makes the kernel's surface larger.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from modelyard.adapters.engine.sandbox.libc import Libc
from modelyard.adapters.engine.sandbox.syscalls import NEWEST, REFUSED, number_of

# Options of prctl, from linux/prctl.h
_SET_PDEATHSIG: Final = 1
_SET_PTRACER: Final = 0x59616D61
_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2

# linux/audit.h: the machine that a call is made for, which need not be the one that runs it
ARCHITECTURE: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# linux/bpf_common.h and linux/seccomp.h
_LOAD: Final = 0x20
_AND: Final = 0x54
_IF_EQUAL: Final = 0x15
_IF_GREATER: Final = 0x25
_RETURN: Final = 0x06
ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
ERRNO: Final = 0x00050000

# Offsets in struct seccomp_data
_NUMBER: Final = 0
_MACHINE: Final = 4
_ARGUMENTS: Final = 16

_ALL: Final = 0xFFFFFFFF
_CLONE_THREAD: Final = 0x00010000
_CLONE_NAMESPACES: Final = 0x7E020000
_AF_UNIX: Final = 1
_SOCK_STREAM: Final = 1
_SOCK_DGRAM: Final = 2
_SOCK_KIND: Final = 0xF
_SET_OWNER: Final = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals by way of a file
_BAD_IOCTLS: Final = (0x5412, 0x541C, 0x8901, 0x8902)  # TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP

_IGNORED: Final = ("chmod", "fchmod", "fchmodat", "fchmodat2")
"""Modes stay as they are, and the caller hears that it worked: `shutil.copy` and most unpackers
set them, and would fail for nothing that matters. Times may be set: of no use to an attacker, and
`Path.touch` relies on the true answer."""

_OF_PROCESSES: Final = (
    *("prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam"),
    "sched_setscheduler",
)


_OF_A_SERVER: Final = ("socket", "bind", "listen", "accept", "accept4")


class Condition(NamedTuple):
    """Of one argument: `(argument & mask) == value`, or != if not `equal`."""

    argument: int
    value: int
    equal: bool = True
    mask: int = _ALL
    high: bool = False


class Rule(NamedTuple):
    """A call that fails with `code` if all tests hold."""

    call: str
    code: int
    tests: tuple[Condition, ...] = ()


def rules(
    pid: int, *, processes: bool, own_group: bool, signals: bool, deaf_server: bool = False
) -> Iterator[Rule]:
    """What is refused to the process `pid`.

    `processes` lets it start others, and `own_group` lets those leave its process group.
    `signals` lets it signal whomever the kernel lets it; otherwise only itself. `deaf_server` lets
    it believe that it listens.
    """
    seeming = _OF_A_SERVER if deaf_server else ()
    yield from (Rule(name, errno.EPERM) for name in REFUSED if name not in seeming)
    if deaf_server:
        yield from _deaf_server()
    yield from (Rule(name, 0) for name in _IGNORED)
    # The C library then falls back to clone, whose flags can be looked at.
    yield Rule("clone3", errno.ENOSYS)
    yield Rule("clone", errno.EPERM, (Condition(0, 0, equal=False, mask=_CLONE_NAMESPACES),))
    if not processes:
        yield from (Rule(name, errno.EPERM) for name in ("execve", "execveat", "fork", "vfork"))
        yield Rule("clone", errno.EPERM, (Condition(0, 0, mask=_CLONE_THREAD),))
    if not own_group:
        yield from (Rule(name, errno.EPERM) for name in ("setsid", "setpgid"))
    if not signals:
        yield from (
            Rule(name, errno.EPERM, (Condition(0, pid, equal=False),))
            for name in ("kill", "tgkill")
        )
    others = (Condition(0, 0, equal=False), Condition(0, pid, equal=False))
    for name in _OF_PROCESSES:
        yield Rule(name, errno.EPERM, others)
    yield from (Rule("setpriority", errno.EPERM, (Condition(i, 0, equal=False),)) for i in (0, 1))
    # A pair of connected streams reaches nobody; a datagram can be sent to any address.
    yield Rule("socketpair", errno.EPERM, (Condition(0, _AF_UNIX, equal=False),))
    yield Rule("socketpair", errno.EPERM, (Condition(1, _SOCK_DGRAM, mask=_SOCK_KIND),))
    for high in (False, True):
        yield Rule("sendto", errno.EPERM, (Condition(4, 0, equal=False, high=high),))
    yield from (Rule("fcntl", errno.EPERM, (Condition(1, command),)) for command in _SET_OWNER)
    yield from (Rule("ioctl", errno.EPERM, (Condition(1, request),)) for request in _BAD_IOCTLS)
    yield from (
        Rule("prctl", errno.EPERM, (Condition(0, option),))
        for option in (_SET_PDEATHSIG, _SET_PTRACER)
    )
    yield Rule(
        "personality", errno.EPERM, (Condition(0, 0, equal=False), Condition(0, _ALL, equal=False))
    )


def _deaf_server() -> Iterator[Rule]:
    """A Unix stream socket that is neither bound nor connected reaches nobody. That there is no
    descriptor left for who calls is what servers wait out.
    """
    yield Rule("socket", errno.EPERM, (Condition(0, _AF_UNIX, equal=False),))
    yield Rule("socket", errno.EPERM, (Condition(1, _SOCK_STREAM, equal=False, mask=_SOCK_KIND),))
    yield Rule("bind", 0)
    yield Rule("listen", 0)
    yield from (Rule(name, errno.EMFILE) for name in ("accept", "accept4"))


class Instruction(NamedTuple):
    """One step of a classic BPF program; `yes` and `no` are how many steps to pass over."""

    code: int
    operand: int
    yes: int = 0
    no: int = 0


def assemble(refused: Sequence[Rule] | Iterator[Rule], machine: str) -> list[Instruction]:
    """The program for `machine`. Calls newer than our list, and those of other ABIs, fail too."""
    program = [
        Instruction(_LOAD, _MACHINE),
        Instruction(_IF_EQUAL, ARCHITECTURE[machine], yes=1),
        Instruction(_RETURN, KILL),
        Instruction(_LOAD, _NUMBER),
        # The calls of x32 have bit 30 set. ENOSYS has the C library try an older call.
        Instruction(_IF_GREATER, NEWEST, no=1),
        Instruction(_RETURN, ERRNO | errno.ENOSYS),
    ]
    for rule in refused:
        number = number_of(rule.call, machine)
        if number is None:
            continue
        steps = [step for test in rule.tests for step in _look(test)]
        body = [*_checked(steps), Instruction(_RETURN, ERRNO | rule.code)]
        if rule.tests:
            # The tests have overwritten the number.
            body.append(Instruction(_LOAD, _NUMBER))
        program += [Instruction(_IF_EQUAL, number, no=len(body)), *body]
    return [*program, Instruction(_RETURN, ALLOW)]


def _look(test: Condition) -> list[Instruction]:
    place = _ARGUMENTS + 8 * test.argument + (4 if test.high else 0)
    steps = [Instruction(_LOAD, place)]
    if test.mask != _ALL:
        steps.append(Instruction(_AND, test.mask))
    # Where to go on is filled in when all steps are known: 1 marks the way that leads out.
    return [*steps, Instruction(_IF_EQUAL, test.value, yes=not test.equal, no=test.equal)]


def _checked(steps: Sequence[Instruction]) -> list[Instruction]:
    """The steps, with the ways out leading behind the RETURN that follows them."""
    made = []
    for place, step in enumerate(steps):
        behind = len(steps) - place
        if step.code == _IF_EQUAL:
            step = step._replace(yes=behind * step.yes, no=behind * step.no)  # noqa: PLW2901
        made.append(step)
    return made


def install(libc: Libc, program: Sequence[Instruction]) -> None:
    """Put the program in force for this process and all that it starts, for good.

    The process must have set no-new-privileges.

    Raises:
        OSError: the kernel has no filters, or refuses this one.
    """
    packed = b"".join(
        struct.pack("=HBBI", step.code, step.yes, step.no, step.operand) for step in program
    )
    code = ctypes.create_string_buffer(packed, len(packed))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc.prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(header))
