"""Looks after what the kernel does not limit for a whole sandbox: memory, threads, disk."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from modelyard.adapters.engine.sandbox import usage
from modelyard.adapters.engine.sandbox.policy import MIB, SandboxPolicy
from modelyard.adapters.engine.sandbox.process import SandboxedProcess

LOOK_SECONDS: Final = 0.2
DISK_SECONDS: Final = 1.0
_DISK_SHARE: Final = 20
"""Looking at the disk takes at most one part in so many of the time."""
_GUARDS: Final = 2
"""Processes that belong to a sandbox with several, and are the launcher's own."""

logger = logging.getLogger(__name__)


class Watchdog:
    """Kills sandboxed processes that go past their policy. One thread, while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: list[Watch] = []
        self._running = False

    def watch(self, process: SandboxedProcess, policy: SandboxPolicy) -> None:
        """Look after this one until it ends."""
        with self._lock:
            self._watches.append(Watch(process, policy))
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="sandbox-watchdog", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                self._watches = [watch for watch in self._watches if not watch.over]
                if not self._watches:
                    self._running = False
                    return
                watches = tuple(self._watches)
            for watch in watches:
                try:
                    watch.look()
                except Exception:
                    logger.exception("a sandboxed process could not be looked after")


class Watch:
    """Of one process."""

    def __init__(self, process: SandboxedProcess, policy: SandboxPolicy) -> None:
        self._process = process
        self._policy = policy
        self._next_disk = 0.0

    @property
    def over(self) -> bool:
        """Whether there is nothing left to look after."""
        return self._process.gone

    def look(self) -> None:
        """Kill it if it goes too far."""
        excess = self._excess()
        if excess:
            logger.warning(
                "a sandboxed process was killed",
                extra={"pid": self._process.pid, "reason": excess},
            )
            self._process.kill(excess)

    def _excess(self) -> str:
        policy, pid = self._policy, self._process.pid
        several = policy.processes > 1
        pids = usage.descendants(pid) if several else [pid]
        live = usage.live(pids)
        if several and live.processes - _GUARDS > policy.processes:
            return f"it ran more than its {policy.processes} processes"
        if live.threads > policy.threads + _GUARDS:
            return f"it ran more than its {policy.threads} threads"
        most = policy.resident_bytes or policy.memory_bytes
        # The sum counts shared memory several times, but is quick.
        if live.resident_bytes > most and (used := usage.shared_fairly(pids)) > most:
            return f"it used {used // MIB} MiB of memory, and may use {most // MIB} MiB"
        if time.monotonic() < self._next_disk:
            return ""
        return self._excess_on_disk(pids)

    def _excess_on_disk(self, pids: list[int]) -> str:
        policy, began = self._policy, time.monotonic()
        stored = usage.stored(policy.scratch, pids, policy.scratch_files)
        took = time.monotonic() - began
        self._next_disk = time.monotonic() + max(DISK_SECONDS, _DISK_SHARE * took)
        if stored.files > policy.scratch_files:
            return f"it kept more than its {policy.scratch_files} files"
        if stored.size > policy.scratch_bytes:
            return (
                f"its files took {stored.size // MIB} MiB on disk, "
                f"and may take {policy.scratch_bytes // MIB} MiB"
            )
        return ""
