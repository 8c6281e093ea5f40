"""`modelyard doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from modelyard.cli.display import Json, print_json, size, table, terminal
from modelyard.core import settings
from modelyard.core.errors import ModelyardError

if TYPE_CHECKING:
    from modelyard.core.sandboxing import Capabilities
    from modelyard.core.settings import Settings

SCARCE: Final = 1 << 30
TOO_LITTLE: Final = 100 << 20
_TRIAL_SECONDS: Final = 60.0
_TRIAL_MEMORY: Final = 4 << 30


class State(StrEnum):
    """`GOOD`; `NOTE`: works, and may be less than wanted; `BAD`: a server will not work."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


class Finding(msgspec.Struct, frozen=True):
    """What one check found. `advice` says what to do if it is not good."""

    check: str
    state: State
    found: str
    advice: str = ""


def doctor(*, home: Path | None = None, json: Json = False) -> int:
    """Check what a server needs of this machine. Needs no server, and changes nothing.

    Exits with 1 if something is bad.

    Args:
        home: The home of the server that is meant.
    """
    from modelyard.adapters.engine.sandbox.detection import detect

    flags = {"home": None if home is None else str(home)}
    in_force = settings.resolve(flags, os.environ).settings
    capabilities = detect()
    findings = list(examine(in_force, capabilities))
    if json:
        print_json({"findings": findings, "sandbox": capabilities, "level": capabilities.level})
    else:
        rows = [(one.check, one.state, one.found, one.advice) for one in findings]
        terminal().print(table(("CHECK", "STATE", "FOUND", "WHAT TO DO"), rows))
    return int(any(one.state is State.BAD for one in findings))


def examine(in_force: Settings, capabilities: Capabilities) -> Iterator[Finding]:
    """Every finding, in the order in which to mend things. A check that breaks is a finding."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "home": lambda: _home(in_force.home_path),
        "disk": lambda: _disk(in_force.home_path),
        "database": lambda: _database(in_force),
        "port": lambda: _ports(in_force),
        "onnxruntime": _onnxruntime,
        "extras": _extras,
        "sandbox": lambda: _sandbox(in_force, capabilities),
    }
    for name, check in checks.items():
        try:
            yield from check()
        except ModelyardError as error:
            yield Finding(name, State.BAD, error.message)
        except Exception as error:  # noqa: BLE001 - the other checks are worth having
            yield Finding(name, State.BAD, f"{type(error).__name__}: {error}")


def _python() -> Iterator[Finding]:
    found = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    yield Finding("python", State.GOOD, found)
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if sys.platform == "linux":
        yield Finding("system", State.GOOD, system)
    else:
        yield Finding("system", State.NOTE, system, "code is shut in on Linux only")


def _home(home: Path) -> Iterator[Finding]:
    from modelyard.adapters.home import Home

    if not home.exists():
        yield Finding("home", State.GOOD, f"{home} will be made by the first 'modelyard up'")
        return
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("home", State.BAD, f"{home} cannot be used by this user", "change its owner")
        return
    Home(home).check()
    mode = home.stat().st_mode & 0o777
    if mode & 0o077:
        advice = f"run 'chmod 700 {home}'"
        yield Finding("home", State.NOTE, f"{home} is open to others (mode {mode:04o})", advice)
    else:
        yield Finding("home", State.GOOD, str(home))


def _disk(home: Path) -> Iterator[Finding]:
    place = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(place).free
    state = State.BAD if free < TOO_LITTLE else State.NOTE if free < SCARCE else State.GOOD
    advice = "" if state is State.GOOD else "make room: data, models and usage are kept there"
    yield Finding("disk", state, f"{size(free)} free at {place}", advice)


def _database(in_force: Settings) -> Iterator[Finding]:
    from modelyard.adapters.store import SqlStore, make_engine
    from modelyard.adapters.store.migrate import HEAD, revision
    from modelyard.bootstrap.parts import database_url, open_home

    home = open_home(in_force)
    if not in_force.database_url and not home.database.exists():
        yield Finding("database", State.GOOD, "will be made by the first 'modelyard up'")
        return
    store = SqlStore(make_engine(database_url(in_force, home)))
    try:
        found = revision(store)
    finally:
        store.close()
    kind = "the database" if in_force.database_url else str(home.database)
    if found in (HEAD, None):
        yield Finding("database", State.GOOD, f"{kind} answers")
    else:
        advice = "the next 'modelyard up' changes that: make a backup first"
        yield Finding("database", State.NOTE, f"{kind} is of another release ({found})", advice)


def _ports(in_force: Settings) -> Iterator[Finding]:
    import socket

    from modelyard.adapters.home import Home

    for name in ("port", "grpc_port"):
        number: int = getattr(in_force, name)
        if number <= 0:
            continue
        address = (in_force.host, number)
        family = socket.AF_INET6 if ":" in in_force.host else socket.AF_INET
        with socket.socket(family) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(address)
            except OSError as error:
                advice = f"stop who has it, or set {settings.PREFIX}{name.upper()}"
                if Home(in_force.home_path).in_use():
                    yield Finding(name, State.GOOD, f"{number}: a server of this home runs")
                else:
                    yield Finding(name, State.BAD, f"{number}: {error.strerror}", advice)
                continue
        yield Finding(name, State.GOOD, f"{number} is free on {in_force.host}")


def _onnxruntime() -> Iterator[Finding]:
    from modelyard.adapters.engine.sandbox import trial

    # A library that does not fit the processor takes its process down.
    ended = subprocess.run(
        [sys.executable, trial.__file__],
        capture_output=True,
        timeout=_TRIAL_SECONDS,
        check=False,
    )
    if ended.returncode == 0:
        yield Finding("onnxruntime", State.GOOD, ended.stdout.decode().strip())
    else:
        said = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        found = f"does not load (status {ended.returncode}) {' '.join(said)}"
        yield Finding("onnxruntime", State.BAD, found, "install it again: no model can be served")


def _extras() -> Iterator[Finding]:
    for name, missing in missing_by_extra().items():
        if missing:
            advice = f"for that, run: pip install 'modelyard[{name}]'"
            found = f"not installed: {', '.join(missing)}"
            yield Finding(f"extra {name}", State.NOTE, found, advice)
        else:
            yield Finding(f"extra {name}", State.GOOD, "installed")


def missing_by_extra() -> dict[str, list[str]]:
    """Each optional extra of this distribution, with its packages that are not installed."""
    import re
    from importlib import metadata

    found: dict[str, list[str]] = {}
    for line in metadata.requires("modelyard") or ():
        named = re.match(r"[\w.-]+", line)
        extra = re.search(r"""extra == ['"]([\w-]+)['"]""", line)
        if named and extra:
            missing = found.setdefault(extra[1], [])
            try:
                metadata.version(named[0])
            except metadata.PackageNotFoundError:
                missing.append(named[0])
    return found


def _sandbox(in_force: Settings, capabilities: Capabilities) -> Iterator[Finding]:
    from modelyard.core.sandboxing import SandboxLevel

    level, missing = capabilities.level, "; ".join(capabilities.missing)
    if in_force.sandbox != "auto":
        capabilities.demand(SandboxLevel(in_force.sandbox))
    if level is SandboxLevel.FULL:
        parts = f"Landlock {capabilities.landlock}, seccomp, {', '.join(capabilities.namespaces)}"
        yield Finding("sandbox", State.GOOD, f"full: {parts}")
    elif level is SandboxLevel.REDUCED:
        advice = "allow unprivileged user namespaces, to have the network cut off twice"
        yield Finding("sandbox", State.NOTE, f"reduced: {missing}", advice)
    else:
        advice = "use Linux 5.13 or newer with Landlock; until then only data formats are served"
        yield Finding("sandbox", State.NOTE, f"none: {missing}", advice)
    yield _trial(capabilities)


def _trial(capabilities: Capabilities) -> Finding:
    """Whether a library loads in there: this Python may lie where the sandbox does not reach."""
    from modelyard.adapters.engine.sandbox.policy import SandboxPolicy
    from modelyard.adapters.engine.sandbox.sandbox import Sandbox

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        process = Sandbox(capabilities).start(
            "modelyard.adapters.engine.sandbox.trial",
            [],
            SandboxPolicy(scratch=Path(folder), memory_bytes=_TRIAL_MEMORY),
            output=output.fileno(),
        )
        process.wait(_TRIAL_SECONDS)
        status = process.kill()
        output.seek(0)
        said = output.read().decode(errors="replace").strip().splitlines()[-1:]
    if status == 0:
        return Finding("sandboxed process", State.GOOD, f"loads {' '.join(said)}")
    found = f"ended with status {status}: {' '.join(said)}"
    return Finding("sandboxed process", State.BAD, found, "report this: nothing can be shut in")
