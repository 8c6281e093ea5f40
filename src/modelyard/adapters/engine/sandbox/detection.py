"""Which level of sandbox this host allows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from modelyard.adapters.engine.sandbox.interpreter import import_path
from modelyard.core.sandboxing import Capabilities

_SCRIPT: Final = Path(__file__).with_name("probe.py")
_SECONDS: Final = 30.0


def detect() -> Capabilities:
    """Try the kernel's means out in a process of its own; takes some tens of milliseconds.

    What cannot be found out counts as missing.
    """
    if sys.platform != "linux":
        return Capabilities(missing=("Landlock and seccomp are Linux's; this is another system",))
    command = [sys.executable, "-P", "-s", "-S", str(_SCRIPT)]
    try:
        told = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
            env={"PYTHONPATH": os.pathsep.join(import_path())},
        )
        return msgspec.json.decode(told.stdout, type=Capabilities)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        return Capabilities(missing=(f"the sandbox could not be tried out: {error}",))
