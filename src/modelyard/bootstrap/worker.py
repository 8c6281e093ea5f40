"""The job worker: one job at a time, each in a child of its own."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from modelyard.bootstrap.parts import open_home, open_store, task_runner
from modelyard.core import ids
from modelyard.core.clock import SystemClock
from modelyard.core.stopping import StopFlag

if TYPE_CHECKING:
    from modelyard.core.settings import Settings


def run(settings: Settings) -> int:
    """Work until SIGTERM; returns the exit status."""
    from modelyard.adapters.blobs import local_blobs
    from modelyard.registry.service import RegistryService
    from modelyard.training.checkpoints import Checkpoints
    from modelyard.training.jobs import TRAIN
    from modelyard.training.scratch import ScratchRoot
    from modelyard.training.train_handler import TrainHandler
    from modelyard.training.worker import Worker

    home, clock = open_home(settings), SystemClock()
    store, blobs = open_store(settings, home), local_blobs(home.blobs)
    stop = StopFlag()
    stop.on([signal.SIGTERM])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    registry, seconds = RegistryService(store, clock), settings.job_seconds or None
    handler = TrainHandler(store, blobs, registry, clock, seconds)
    worker = Worker(
        store=store,
        runner=task_runner(settings, None),
        handlers={TRAIN: handler},
        scratch=ScratchRoot(home.scratch),
        checkpoints=Checkpoints(home.checkpoints),
        clock=clock,
        worker_id=ids.new_id(ids.WORKER),
    )
    worker.run(stop)
    return 0
