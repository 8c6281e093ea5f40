"""What a Python process has to read to be one: the standard library, packages, the system's."""

from __future__ import annotations

import site
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import modelyard

SYSTEM: Final = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
    # Which processors, memory and cards there are; of other processes nothing.
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/kernel",
    "/proc/sys/vm",
    "/proc/version",
    "/sys/bus/pci",
    "/sys/devices/system",
    "/sys/fs/cgroup",
)


def import_path(more: Iterable[Path] = ()) -> list[str]:
    """Where a sandboxed process imports from: `more`, this package, installed ones.

    What else this process imports from is left out: it may be the folder that someone happened
    to start the server in, and everything on the list can be read.
    """
    installed = _site_folders()
    kept = [str(path) for path in more]
    kept.append(str(Path(modelyard.__file__).parents[1]))
    kept += [entry for entry in sys.path if any(_beneath(entry, root) for root in installed)]
    kept += [entry for folder in installed for entry in _linked_from(Path(folder))]
    return list(dict.fromkeys(kept))


def readable(imports: Iterable[str]) -> list[str]:
    """All paths, of the system's and of Python's, that the process has to read."""
    library = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    prefixes = {sys.base_prefix, sys.base_exec_prefix}
    libraries = [str(Path(prefix) / name) for prefix in prefixes for name in ("lib", "lib64")]
    cards = [str(path) for path in Path("/sys/devices").glob("pci*")]
    return [
        path for path in (*SYSTEM, *cards, *library, *libraries, *imports) if Path(path).exists()
    ]


def runnable() -> list[str]:
    """What has to be executable for the process to start another interpreter like itself."""
    loaders = [*Path("/lib64").glob("ld-linux*"), *Path("/lib").glob("ld-linux*")]
    settings = Path(sys.prefix) / "pyvenv.cfg"
    found = [Path(sys.executable), Path(sys.executable).resolve(), settings, *loaders]
    return [str(path) for path in found if path.exists()]


def _site_folders() -> list[str]:
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return folders


def _linked_from(folder: Path) -> list[str]:
    """The folders that `.pth` files name, as editable installs leave them."""
    found = []
    for file in sorted(folder.glob("*.pth")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            path = folder / line.strip()
            if line.strip() and not line.startswith(("import ", "import\t", "#")) and path.is_dir():
                found.append(str(path))
    return found


def _beneath(entry: str, root: str) -> bool:
    return Path(entry).is_relative_to(root)
