"""For sandboxes with more than one process: who ends them all, whatever becomes of the parent.

Two forks of the launcher stay outside of the sandbox. The first dies with the parent. The second
takes in orphans, waits for the target, and tells the first how it ended. All that the target
starts ends with them: through the pid namespace, whose first process the second one is, or else
through the process group, which the sandboxed can then not leave.
"""

from __future__ import annotations

import os
import resource
import select
import signal
from types import FrameType
from typing import Final, NoReturn

from modelyard.adapters.engine.lifetime import die_with_parent
from modelyard.adapters.engine.sandbox.libc import Libc
from modelyard.adapters.engine.sandbox.namespaces import drop_capabilities, mount_private
from modelyard.adapters.engine.sandbox.order import Order

_PARENT_DEATH_SIGNAL: Final = 1
_CHILD_SUBREAPER: Final = 36
_SHARED_MEMORY: Final = 256 << 20
_MOST_DESCRIPTORS: Final = (1 << 31) - 1


def stay_behind(libc: Libc, order: Order) -> bool:
    """Fork: the process that returns is to be shut in; the others wait, and exit as it does.

    Returns whether /proc shows processes of this sandbox only.
    """
    contained = "pid" in order.namespaces
    if not contained:
        signal.signal(signal.SIGTERM, _end_group)
    die_with_parent(order.parent, signal.SIGKILL if contained else signal.SIGTERM)
    hear, tell = os.pipe()
    # Nothing is ever written: reading from it ends when the first process does.
    alive, living = os.pipe()
    if os.fork() != 0:
        _keep_only(libc, hear, living)
        _exit_like(os.read(hear, 64))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.close(living)
    _die_with(libc, alive)
    own_proc = False
    if contained:
        own_proc = mount_private(libc, min(_SHARED_MEMORY, order.memory_bytes))
    else:
        libc.prctl(_CHILD_SUBREAPER, 1)
    if (target := os.fork()) != 0:
        _keep_only(libc, tell)
        os.write(tell, str(_wait_for(target)).encode())
        os._exit(0)
    for descriptor in (hear, tell, alive):
        os.close(descriptor)
    libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    return own_proc


def _end_group(_number: int, _frame: FrameType | None) -> None:
    os.killpg(0, signal.SIGKILL)


def _die_with(libc: Libc, alive: int) -> None:
    libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    # In a pid namespace of its own it cannot tell by its parent's number.
    poll = select.poll()
    poll.register(alive, 0)
    if poll.poll(0):
        os._exit(1)


def _keep_only(libc: Libc, *kept: int) -> None:
    """Hold nothing that others wait to see closed, and no right that is not needed any more."""
    low = 3
    for descriptor in [*sorted(kept), _MOST_DESCRIPTORS]:
        os.closerange(low, descriptor)
        low = descriptor + 1
    drop_capabilities(libc)


def _wait_for(target: int) -> int:
    while True:
        pid, status = os.wait()
        if pid == target:
            return status


def _exit_like(told: bytes) -> NoReturn:
    status = int(told) if told else int(signal.SIGKILL)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))
