"""An environment of its own for each peer: their dependencies exclude each other."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / ".venv-peers"
LOCKS: Final = Path(__file__).parent / "peers/requirements"


class CannotInstall(Exception):
    """The environment could not be made; the message is the last thing that the installer said."""


def environment(name: str) -> Path:
    """The folder of the environment, made if its lock has changed since it was.

    Raises:
        CannotInstall: the lock does not install here.
    """
    folder, lock = FOLDER / name, LOCKS / f"{name}.lock"
    stamp, wanted = folder / ".ready", hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    print(f"bench: installing {name} into {folder.relative_to(ROOT)}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _run("-m", "venv", str(folder))
    _run(
        *("-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet", "--no-input"),
        *("--disable-pip-version-check", "--require-hashes", "-r", str(lock)),
    )
    stamp.write_text(wanted)
    return folder


def versions(folder: Path, distribution: str) -> str:
    """The version of a distribution that is installed there."""
    found = next((folder / "lib").glob(f"python*/site-packages/{distribution}-*.dist-info"))
    return found.name.removeprefix(f"{distribution}-").removesuffix(".dist-info")


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise CannotInstall(said[-1][:300] if said else f"exit status {done.returncode}")
