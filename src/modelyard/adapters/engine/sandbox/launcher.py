"""The first thing that a sandboxed process runs: it shuts itself in, then runs its target.

The parent starts it as `python -P -s -S launcher.py ORDER`: a fresh interpreter with one thread,
which namespaces ask for, and nothing imported, so that all of it holds before any library runs.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from modelyard.adapters.engine.sandbox.libc import Libc
    from modelyard.adapters.engine.sandbox.order import Order

NOT_ENCLOSED: Final = 125
"""The exit status when the sandbox could not be built: the target has not run."""

_NO_NEW_PRIVILEGES: Final = 38
_MOST_DESCRIPTORS: Final = (1 << 31) - 1


def main(text: str) -> None:
    """Build the sandbox that the order describes, and run its target in it."""
    from modelyard.adapters.engine.sandbox.order import Order

    order = Order.unpack(text)
    try:
        enclose(order)
    except OSError as error:
        sys.stderr.write(f"the sandbox could not be built: {error}\n")
        sys.stderr.flush()
        os._exit(NOT_ENCLOSED)
    run(order)


def enclose(order: Order) -> None:
    """Everything that holds from here on, in the only order that works.

    Raises:
        OSError: the kernel refuses a part of it.
    """
    from modelyard.adapters.engine.lifetime import die_with_parent
    from modelyard.adapters.engine.sandbox import limits
    from modelyard.adapters.engine.sandbox.libc import Libc
    from modelyard.adapters.engine.sandbox.namespaces import drop_capabilities, enter

    _close_others(order.descriptors)
    os.umask(0o077)
    os.nice(order.niceness)
    if sys.platform != "linux":
        limits.apply(order)
        return
    libc = Libc()
    # Both before namespaces need a single thread, and before the filter refuses them.
    enter(libc, order.namespaces)
    own_proc = False
    if order.processes > 1:
        from modelyard.adapters.engine.sandbox import guard

        own_proc = guard.stay_behind(libc, order)
    else:
        die_with_parent(order.parent)
    limits.apply(order)
    drop_capabilities(libc)
    libc.prctl(_NO_NEW_PRIVILEGES, 1)
    if order.landlock:
        _restrict_files(libc, order, own_proc=own_proc)
    if order.seccomp:
        _restrict_calls(libc, order)


def run(order: Order) -> None:
    """Run the target as the main program, with its arguments."""
    import runpy

    sys.prefix = sys.exec_prefix = order.prefix
    sys.argv = [order.target, *order.arguments]
    if order.target.endswith(".py"):
        runpy.run_path(order.target, run_name="__main__")
    else:
        runpy.run_module(order.target, run_name="__main__", alter_sys=True)


def _close_others(kept: list[int]) -> None:
    low = 3
    for descriptor in [*sorted(kept), _MOST_DESCRIPTORS]:
        os.closerange(low, descriptor)
        low = descriptor + 1


def _restrict_files(libc: Libc, order: Order, *, own_proc: bool) -> None:
    from modelyard.adapters.engine.sandbox import landlock

    rules = [(path, landlock.READ) for path in order.readable]
    rules += [(path, landlock.READ | landlock.EXECUTE) for path in order.runnable]
    rules.append((order.scratch, landlock.KEEP))
    rules.append(("/dev/null", landlock.READ_FILE | landlock.WRITE_FILE))
    if own_proc:
        rules.append(("/proc", landlock.READ))
    if "mount" in order.namespaces:
        rules.append(("/dev/shm", landlock.KEEP))  # noqa: S108 - it is mounted for us alone
    landlock.restrict(libc, rules)


def _restrict_calls(libc: Libc, order: Order) -> None:
    from modelyard.adapters.engine.sandbox import landlock, seccomp

    alone = order.processes == 1
    own_pids = "pid" in order.namespaces
    scoped = order.landlock and landlock.abi(libc) >= landlock.SCOPE_ABI
    refused = seccomp.rules(
        os.getpid(),
        processes=not alone,
        own_group=own_pids and not alone,
        signals=not alone and (own_pids or scoped),
        deaf_server=order.deaf_server,
    )
    seccomp.install(libc, seccomp.assemble(refused, os.uname().machine))


if __name__ == "__main__":
    main(sys.argv[1])
