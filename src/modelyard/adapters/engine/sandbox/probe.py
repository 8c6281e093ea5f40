"""Finds out what of the kernel's means works here, by using it.

A process cannot come back from what is tried, so each try has a fork of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from modelyard.adapters.engine.sandbox.libc import Libc

_NO_NEW_PRIVILEGES: Final = 38
_WANTED: Final = (("user", "net", "ipc"), ("net", "ipc"))
_FOR_SEVERAL: Final = ("pid", "mount")


def main() -> None:
    """Print what works as one JSON object."""
    from modelyard.adapters.engine.sandbox import landlock
    from modelyard.adapters.engine.sandbox.libc import Libc

    libc = Libc()
    missing = []
    version, seccomp = landlock.abi(libc), False
    if version == 0:
        missing.append("Landlock is missing or switched off in the kernel")
    else:
        problem = _tried(lambda: _landlock(libc))
        if problem:
            missing.append(f"Landlock does not work ({problem})")
            version = 0
    problem = _tried(lambda: _seccomp(libc))
    if problem:
        missing.append(f"seccomp filters do not work ({problem})")
    seccomp = not problem
    names, problem = _namespaces(libc)
    if not names:
        missing.append(f"namespaces are not allowed ({problem})")
    several = [*names, *_FOR_SEVERAL]
    works = bool(names) and not _tried(lambda: _several(libc, several))
    print(  # noqa: T201 - the parent reads it
        json.dumps(
            {
                "landlock": version,
                "seccomp": seccomp,
                "namespaces": names,
                "pid_namespaces": _FOR_SEVERAL if works else (),
                "missing": missing,
            }
        )
    )


def _namespaces(libc: Libc) -> tuple[tuple[str, ...], str]:
    from modelyard.adapters.engine.sandbox.namespaces import enter

    first = ""
    for names in _WANTED:
        problem = _tried(lambda names=names: enter(libc, names))  # type: ignore[misc]
        if not problem:
            return names, ""
        first = first or problem
    return (), first


def _several(libc: Libc, names: list[str]) -> None:
    from modelyard.adapters.engine.sandbox.namespaces import enter, mount_private

    enter(libc, names)
    if (child := os.fork()) == 0:
        _exit_with(lambda: mount_private(libc, 1 << 20), None)
    if os.waitpid(child, 0)[1] != 0:
        raise OSError("mounting is refused")


def _landlock(libc: Libc) -> None:
    from modelyard.adapters.engine.sandbox import landlock

    libc.prctl(_NO_NEW_PRIVILEGES, 1)
    landlock.restrict(libc, [])
    try:
        os.close(os.open("/", os.O_RDONLY))
    except PermissionError:
        return
    raise OSError("it refuses nothing")


def _seccomp(libc: Libc) -> None:
    from modelyard.adapters.engine.sandbox import seccomp

    libc.prctl(_NO_NEW_PRIVILEGES, 1)
    refused = seccomp.rules(os.getpid(), processes=False, own_group=False, signals=False)
    seccomp.install(libc, seccomp.assemble(refused, os.uname().machine))
    try:
        os.setsid()
    except PermissionError:
        return
    raise OSError("it refuses nothing")


def _tried(attempt: Callable[[], Any]) -> str:
    """Why `attempt` does not work; empty if it does."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        _exit_with(attempt, writing)
    os.close(writing)
    with open(reading, "rb") as told:  # noqa: PTH123 - a descriptor
        problem = told.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return problem or ("" if status == 0 else f"it ended with status {status}")


def _exit_with(attempt: Callable[[], Any], writing: int | None) -> None:
    try:
        attempt()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent hears of it
        if writing is not None:
            os.write(writing, str(error).encode()[:500])
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
