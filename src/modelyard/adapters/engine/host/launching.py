"""How the process of a replica is started: in a sandbox, whatever it is to load."""

from __future__ import annotations

from typing import Final, Protocol

from modelyard.adapters.engine.host.files import ReplicaFolder
from modelyard.adapters.engine.host.memory import MIB
from modelyard.adapters.engine.host.messages import ReplicaSpec
from modelyard.adapters.engine.sandbox.policy import SandboxPolicy
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.core.trust import Trust

_ADDRESS_SPARE: Final = 4096 * MIB
"""Address space beside what is used: libraries map far more than they touch."""
_SCRATCH_BYTES: Final = 1024 * MIB
GGUF: Final = "gguf"
"""The format of language models: one of their engines cannot do without a server of its own."""
_ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""Replicas share the cores: requests, not operators, are what runs in parallel."""


class ReplicaProcess(Protocol):
    """A process and whatever it started, as one thing."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def killed_because(self) -> str:
        """What a watchdog killed it for; empty if it did not."""
        ...

    def kill(self, because: str = "") -> int:
        """End it and all that it started, and wait until it is gone; returns how it ended."""
        ...


class Launcher:
    """Starts `module` with the argument `replica` and the number of its control socket."""

    def __init__(self, sandbox: Sandbox, module: str) -> None:
        self._sandbox = sandbox
        self._module = module

    def start(
        self, spec: ReplicaSpec, folder: ReplicaFolder, memory: int, control: int, output: int
    ) -> ReplicaProcess:
        """Start one on its folder. It inherits `control`, and prints to `output`.

        `memory` is the most that it may use, in bytes. It dies with the calling thread.

        Raises:
            UnsupportedFormat: the version can run code, and this host cannot shut it in.
            OSError: no process could be made.
        """
        if spec.trust is Trust.CODE:
            self._sandbox.capabilities.admit_code(f"a model of the format '{spec.format}'")
        # Some libraries want a copy that they could write to.
        room = _SCRATCH_BYTES + sum(file.size for file in spec.files)
        policy = SandboxPolicy(
            scratch=folder.work,
            memory_bytes=memory + _ADDRESS_SPARE,
            resident_bytes=memory,
            readable=(folder.model,),
            file_bytes=room,
            scratch_bytes=room,
            environ=_ONE_THREAD,
            deaf_server=spec.format == GGUF,
        )
        return self._sandbox.start(
            self._module,
            ["replica", f"--socket-fd={control}"],
            policy,
            pass_fds=(control,),
            output=output,
        )
