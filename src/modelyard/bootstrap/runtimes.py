"""The runtime host: the parent of all replicas, and of nothing else."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from modelyard.bootstrap.parts import MODULE, open_home, open_sandbox

if TYPE_CHECKING:
    from modelyard.core.settings import Settings


def run(settings: Settings) -> int:
    """Keep replicas until SIGTERM; returns the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    from modelyard.adapters.blobs import local_blobs
    from modelyard.adapters.engine.host.budget import Budget
    from modelyard.adapters.engine.host.files import ReplicaFiles
    from modelyard.adapters.engine.host.launching import Launcher
    from modelyard.adapters.engine.host.memory import default_budget
    from modelyard.adapters.engine.host.scheduler import Scheduler
    from modelyard.adapters.engine.host.server import RuntimeHost
    from modelyard.adapters.engine.host.tally import Tally

    home = open_home(settings)
    files = ReplicaFiles(home.replicas, local_blobs(home.blobs))
    await asyncio.to_thread(files.sweep)
    budget = Budget(settings.replica_memory_bytes or default_budget())
    launcher = Launcher(await asyncio.to_thread(open_sandbox), MODULE)
    tally = Tally(home.metrics, budget.size)
    scheduler = Scheduler(launcher, files, tally, budget, settings.drain_seconds)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await RuntimeHost(home.run, scheduler).run(stop)
    return 0
