"""The filter as a program, run here instead of in the kernel: for machines that this is not."""

import errno
import re
from pathlib import Path

import pytest

from modelyard.adapters.engine.sandbox import seccomp
from modelyard.adapters.engine.sandbox.syscalls import JUDGED, NEWEST, REFUSED, number_of

MACHINES = sorted(seccomp.ARCHITECTURE)
PID = 4711
THREAD = 0x3D0F00  # what the C library asks of clone for a thread
HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


def verdict(program: list[seccomp.Instruction], machine: int, number: int, *given: int) -> int:
    """What the kernel would do with a call."""
    arguments = [*given, 0, 0, 0, 0, 0, 0][:6]
    data = [number, machine, 0, 0]
    for argument in arguments:
        data += [argument & 0xFFFFFFFF, argument >> 32 & 0xFFFFFFFF]
    held = place = 0
    while True:
        step = program[place]
        place += 1
        if step.code == 0x20:
            held = data[step.operand // 4]
        elif step.code == 0x54:
            held &= step.operand
        elif step.code == 0x06:
            return step.operand
        else:
            holds = held == step.operand if step.code == 0x15 else held > step.operand
            place += step.yes if holds else step.no


class Filter:
    """The program for one machine, asked by the call's name."""

    def __init__(self, machine: str, **options: bool) -> None:
        given = {"processes": False, "own_group": False, "signals": False} | options
        self.machine = machine
        self.program = seccomp.assemble(seccomp.rules(PID, **given), machine)

    def __call__(self, call: str, *arguments: int) -> str:
        number = number_of(call, self.machine)
        assert number is not None, f"{self.machine} has no {call}"
        return self.of(number, *arguments)

    def of(self, number: int, *arguments: int, machine: int | None = None) -> str:
        named = seccomp.ARCHITECTURE[self.machine] if machine is None else machine
        result = verdict(self.program, named, number, *arguments)
        if result & 0xFFFF0000 == seccomp.ERRNO:
            return errno.errorcode.get(result & 0xFFFF, "pretended")
        return {seccomp.ALLOW: "allowed", seccomp.KILL: "killed"}[result]


@pytest.fixture(params=MACHINES)
def alone(request: pytest.FixtureRequest) -> Filter:
    return Filter(request.param)


@pytest.fixture(params=MACHINES)
def several(request: pytest.FixtureRequest) -> Filter:
    return Filter(request.param, processes=True, own_group=True, signals=True)


def test_what_is_on_the_list_is_refused(alone: Filter, several: Filter) -> None:
    for asked in (alone, several):
        there = [call for call in REFUSED if number_of(call, asked.machine) is not None]
        assert {call: asked(call) for call in there} == dict.fromkeys(there, "EPERM")


@pytest.mark.parametrize("machine", MACHINES)
def test_a_server_that_is_let_believe_that_it_listens_is_heard_by_nobody(machine: str) -> None:
    asked = Filter(machine, deaf_server=True)
    unix, tcp, stream, datagram, cloexec = 1, 2, 1, 2, 0o2000000
    assert asked("socket", unix, stream | cloexec) == "allowed"
    assert asked("socket", tcp, stream) == asked("socket", unix, datagram) == "EPERM"
    assert asked("bind", 3) == asked("listen", 3) == "pretended"
    assert {asked(call, 3) for call in ("accept", "accept4")} == {"EMFILE"}
    assert asked("connect", 3) == asked("sendto", 3, 0, 0, 0, 0xF000) == "EPERM"


def test_what_is_not_on_the_list_is_allowed(alone: Filter) -> None:
    known = {number_of(call, alone.machine) for call in (*REFUSED, *JUDGED)}
    others = [number for number in range(NEWEST + 1) if number not in known]
    assert {alone.of(number) for number in others} == {"allowed"}


def test_what_is_newer_than_the_list_and_x32_does_not_exist(alone: Filter) -> None:
    for number in (NEWEST + 1, 1000, 0x40000000, 0x40000000 | 39, 0xFFFFFFFF):
        assert alone.of(number) == "ENOSYS"


def test_the_calls_of_another_machine_are_the_end(alone: Filter) -> None:
    for machine in (0, 0x40000003, 0x40000028, 0xC0000015):
        assert alone.of(0, machine=machine) == "killed"


def test_threads_but_no_processes(alone: Filter) -> None:
    assert alone("clone", THREAD) == "allowed"
    assert alone("clone", 17) == "EPERM"
    assert alone("clone3") == "ENOSYS"
    assert alone("execve") == alone("execveat") == "EPERM"
    assert alone("setsid") == alone("setpgid") == "EPERM"


def test_processes_but_no_namespaces(several: Filter) -> None:
    assert several("clone", 17) == "allowed"
    assert several("execve") == several("setsid") == "allowed"
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000):
        assert several("clone", 17 | flag) == "EPERM"


def test_signals_for_itself_alone(alone: Filter, several: Filter) -> None:
    assert alone("kill", PID) == alone("tgkill", PID) == "allowed"
    for other in (1, 0, 0xFFFFFFFF, PID + 1):
        assert alone("kill", other) == alone("tgkill", other) == "EPERM"
    assert several("kill", 1) == "allowed"


@pytest.mark.parametrize("call", ["prlimit64", "sched_setaffinity", "sched_setscheduler"])
def test_limits_and_schedules_for_itself_alone(call: str, alone: Filter) -> None:
    assert alone(call, 0) == alone(call, PID) == "allowed"
    assert alone(call, 1) == "EPERM"


def test_niceness_for_itself_alone(alone: Filter) -> None:
    assert alone("setpriority", 0, 0) == "allowed"
    assert alone("setpriority", 0, 1) == alone("setpriority", 2, 0) == "EPERM"


def test_pairs_of_connected_streams_are_the_only_sockets(alone: Filter) -> None:
    stream, datagram, cloexec = 1, 2, 0o2000000
    assert alone("socketpair", 1, stream | cloexec) == "allowed"
    assert alone("socketpair", 1, datagram | cloexec) == "EPERM"
    assert alone("socketpair", 2, stream) == "EPERM"


def test_sending_without_an_address(alone: Filter) -> None:
    assert alone("sendto", 3, 4096, 1, 0, 0, 0) == "allowed"
    assert alone("sendto", 3, 4096, 1, 0, 0x1000, 16) == "EPERM"
    assert alone("sendto", 3, 4096, 1, 0, 0x100000000, 16) == "EPERM"


def test_files_that_signal_and_terminals_that_type(alone: Filter) -> None:
    assert alone("fcntl", 3, 4) == "allowed"
    assert {alone("fcntl", 3, command) for command in (8, 10, 15)} == {"EPERM"}
    assert alone("ioctl", 0, 0x5401) == "allowed"
    assert {alone("ioctl", 0, request) for request in (0x5412, 0x8901)} == {"EPERM"}


def test_what_ties_it_to_its_parent_stays(alone: Filter) -> None:
    assert alone("prctl", 15) == "allowed"
    assert alone("prctl", 1, 0) == "EPERM"


def test_modes_are_pretended(alone: Filter) -> None:
    assert alone("fchmodat") == alone("fchmod") == "pretended"


@pytest.mark.skipif(not HEADER.exists(), reason="no kernel headers here")
def test_the_numbers_are_the_kernels() -> None:
    named = dict(re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text()))
    ours = {call: numbers[0] for call, numbers in {**REFUSED, **JUDGED}.items()}
    known = {call: int(named[call]) for call in ours if call in named}
    assert len(known) > 100
    assert known == {call: ours[call] for call in known}


@pytest.mark.parametrize("place", [0, 1])
def test_no_number_stands_for_two_calls(place: int) -> None:
    numbers = [pair[place] for pair in {**REFUSED, **JUDGED}.values() if pair[place] is not None]
    assert len(numbers) == len(set(numbers))
