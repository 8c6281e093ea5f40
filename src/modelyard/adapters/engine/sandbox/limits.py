"""Limits that the kernel keeps for each process by itself."""

from __future__ import annotations

import os
import resource

from modelyard.adapters.engine.sandbox.order import Order

MEMORY_LOCKED = 1 << 20


def apply(order: Order) -> None:
    """Lower this process's limits; those that are lower already stay."""
    wanted = {
        resource.RLIMIT_AS: order.memory_bytes,
        resource.RLIMIT_FSIZE: order.file_bytes,
        resource.RLIMIT_NOFILE: order.open_files,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: MEMORY_LOCKED,
    }
    if hasattr(resource, "RLIMIT_MSGQUEUE"):
        wanted[resource.RLIMIT_MSGQUEUE] = 0
    if order.cpu_seconds is not None:
        wanted[resource.RLIMIT_CPU] = order.cpu_seconds
    if "user" in order.namespaces and os.geteuid() != 0:
        # It counts per user: outside of a user namespace it would count the user's other work,
        # and for the host's root the kernel does not keep it.
        wanted[resource.RLIMIT_NPROC] = order.processes + order.threads
    for kind, most in wanted.items():
        _, hard = resource.getrlimit(kind)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))
