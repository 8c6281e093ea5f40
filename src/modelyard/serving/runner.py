"""Who runs the calls of a model: threads of this process here, replicas in `serving.replica`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Protocol, runtime_checkable

from modelyard.core.errors import Unavailable
from modelyard.core.tensors import Tensor
from modelyard.serving.batch import Batch, Parts, run
from modelyard.serving.ports import Loaded, Runtime


class Queue(Protocol):
    """Requests that wait for a runner."""

    def __len__(self) -> int:
        """How many wait."""
        ...

    @property
    def running(self) -> int:
        """How many are in the model's hands."""
        ...

    def resume(self) -> None:
        """There is room again."""
        ...

    def refuse(self, error: Exception) -> None:
        """Fail all that wait: there will be no room for them."""
        ...


@runtime_checkable
class Runner(Loaded, Protocol):
    """A loaded version that is asked in batches. Lives on one event loop, but for two that any
    thread may read: `failure`, why it cannot be asked at present, empty while it can; and
    `replicas`, how many processes it has, None for this one.
    """

    failure: str

    @property
    def replicas(self) -> int | None: ...

    def attach(self, queue: Queue) -> None:
        """Have the queue told when there is room, or will be none. It is not kept alive by this."""
        ...

    def admit(self, inputs: Mapping[str, Tensor]) -> object:
        """With whom a request may share a call: with those that get the same answer here.

        Raises:
            Poisonous: it is not to be run.
            Unavailable: nobody is there to run it, nor will be soon.
        """
        ...

    def has_room(self, running: int) -> bool:
        """Whether a batch can be run now, beside those `running` of the same queue. Asking says
        that there is work.
        """
        ...

    def wake(self) -> None:
        """Have it loaded, if it is not; there may be work soon."""
        ...

    def run(self, batch: Batch) -> asyncio.Future[Parts]:
        """Run it. Only where there is room.

        Raises:
            Unavailable: nothing runs any more; this gateway stops.
        """
        ...


class ThreadRunner:
    """A runtime of this process, on threads that all of them share: one call at a time."""

    def __init__(self, runtime: Runtime, pool: Executor) -> None:
        self._runtime = runtime
        self._pool = pool
        self.failure = ""
        self.replicas: int | None = None
        self.call_seconds = runtime.call_seconds
        self.row_seconds = runtime.row_seconds
        self.stackable = runtime.stackable

    def attach(self, queue: Queue) -> None:
        """Nobody needs to be told: the end of a call is what makes room."""

    def admit(self, inputs: Mapping[str, Tensor]) -> object:
        """Whatever kills a runtime here kills the gateway, which then remembers nothing."""
        return None

    def has_room(self, running: int) -> bool:
        """Whether nothing runs."""
        return not running

    def wake(self) -> None:
        """It never sleeps."""

    def run(self, batch: Batch) -> asyncio.Future[Parts]:
        """Run it on a thread. Raises Unavailable when the threads are gone."""
        loop = asyncio.get_running_loop()
        try:
            return loop.run_in_executor(self._pool, run, self._runtime, batch)
        except RuntimeError:
            raise Unavailable("this gateway is stopping; send the request again") from None
