"""Starts processes that are shut in as well as this host can."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from modelyard.adapters.engine.sandbox.interpreter import import_path, readable, runnable
from modelyard.adapters.engine.sandbox.order import Order
from modelyard.adapters.engine.sandbox.policy import SandboxPolicy
from modelyard.adapters.engine.sandbox.process import SandboxedProcess
from modelyard.adapters.engine.sandbox.watchdog import Watchdog
from modelyard.core.sandboxing import Capabilities

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
# -P -s -S: nothing is imported but from PYTHONPATH, and nothing at start; -B: there is no place for
# byte code; -u: what it says last before a crash is in the log.
_FLAGS: Final = ("-P", "-s", "-S", "-B", "-u")
_NO_JOBLIB: Final = {"JOBLIB_MULTIPROCESSING": "0"}


class Sandbox:
    """Makes sandboxes of the level that `capabilities` (from `detection.detect`) allow.

    It does not judge whether that level is enough: `Capabilities.admit_code` does.
    """

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self._watchdog = Watchdog()

    def start(
        self,
        target: str,
        arguments: Sequence[str],
        policy: SandboxPolicy,
        *,
        pass_fds: Sequence[int] = (),
        output: int = subprocess.DEVNULL,
    ) -> SandboxedProcess:
        """Run a module (or a script, if `target` ends in `.py`) as `__main__` in a new sandbox.

        Of this process it inherits `pass_fds` under the same numbers, `output` as stdout and
        stderr, and nothing else. It dies with the *thread* that calls this, which has to live
        on. It exits with `launcher.NOT_ENCLOSED` if it could not be shut in; then nothing of the
        target has run, and the output says why.

        Raises:
            OSError: no process could be made.
        """
        imports = import_path(policy.python_path)
        order = self._order(target, arguments, policy, pass_fds, imports)
        process = subprocess.Popen(
            [sys.executable, *_FLAGS, str(_LAUNCHER), order.pack()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=tuple(pass_fds),
            env=_environment(policy, imports),
            cwd=policy.scratch,
            start_new_session=True,
        )
        sandboxed = SandboxedProcess(process)
        self._watchdog.watch(sandboxed, policy)
        return sandboxed

    def _order(
        self,
        target: str,
        arguments: Sequence[str],
        policy: SandboxPolicy,
        pass_fds: Sequence[int],
        imports: Sequence[str],
    ) -> Order:
        able = self.capabilities
        several = policy.processes > 1
        files = [str(path) for path in policy.readable]
        if target.endswith(".py"):
            files.append(target)
        return Order(
            target=target,
            arguments=list(arguments),
            parent=os.getpid(),
            prefix=sys.prefix,
            scratch=str(policy.scratch),
            readable=[*readable(imports), *files],
            runnable=runnable() if several else [],
            descriptors=list(pass_fds),
            namespaces=[*able.namespaces, *(able.pid_namespaces if several else ())],
            landlock=able.landlock > 0,
            seccomp=able.seccomp,
            memory_bytes=policy.memory_bytes,
            file_bytes=policy.file_bytes,
            open_files=policy.open_files,
            cpu_seconds=policy.cpu_seconds,
            processes=policy.processes,
            threads=policy.threads,
            niceness=policy.niceness,
            deaf_server=policy.deaf_server,
        )


def _environment(policy: SandboxPolicy, imports: Sequence[str]) -> dict[str, str]:
    """All that the process knows of the outside."""
    scratch = str(policy.scratch)
    made = {
        "PATH": os.defpath,
        "HOME": scratch,
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(imports),
        # Libraries that name their caches by the user look here before they read /etc/passwd.
        "USER": "sandbox",
        "LOGNAME": "sandbox",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    # Left alone, joblib finds out by itself that it is on its own, and warns of it.
    made |= {"JOBLIB_TEMP_FOLDER": scratch} if policy.processes > 1 else _NO_JOBLIB
    return {**made, **policy.environ}
