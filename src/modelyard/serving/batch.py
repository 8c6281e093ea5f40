"""A batch: requests whose rows go through the model in one call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from modelyard.core.errors import ModelyardError
from modelyard.core.tensors import Tensor
from modelyard.serving.ports import Runtime
from modelyard.serving.stopping import StopSignal
from modelyard.serving.tracing import Trace

Outputs = dict[str, Tensor]
Parts = list[tuple["Waiting", Outputs]]
"""What each request of a batch gets."""

Shapes = tuple[tuple[int, ...], ...]


class Metered(Protocol):
    """A request that is told the microseconds which the model took for it."""

    compute: int


class Waiting:
    """A request that waits for the model, or is in its hands. Times are `time.monotonic`'s.

    `answer` is cancelled by whoever loses interest; the request then leaves the queue. Requests
    of different `group`s are kept apart. `again`: it was put back once.
    """

    __slots__ = (
        "again",
        "answer",
        "deadline",
        "group",
        "inputs",
        "metered",
        "rows",
        "shapes",
        "since",
        "trace",
    )

    def __init__(
        self,
        inputs: Mapping[str, Tensor],
        rows: int,
        since: float,
        deadline: float,
        answer: asyncio.Future[Outputs],
        trace: Trace | None = None,
    ) -> None:
        self.inputs = inputs
        self.rows = rows
        self.since = since
        self.deadline = deadline
        self.answer = answer
        self.trace = trace
        self.again = False
        self.metered: Metered | None = None
        self.group: object = None
        self.shapes: Shapes = tuple(tensor.shape[1:] for tensor in inputs.values())


class Batch:
    """Requests in the model's hands. The call is stopped once nobody waits for it any more.

    `began` and `ended` are the call's times; `began` is 0.0 until it begins.
    """

    def __init__(self, requests: list[Waiting]) -> None:
        self.requests = requests
        self.stop = StopSignal()
        self.began = self.ended = 0.0
        self.rows = 0
        self._left = len(requests)
        for each in requests:
            each.answer.add_done_callback(self._one_less)

    def unanswered(self) -> list[Waiting]:
        """Those that still wait for their answer."""
        return [each for each in self.requests if not each.answer.done()]

    def end(self) -> None:
        """The call is over: what becomes of the answers matters no longer."""
        for each in self.requests:
            each.answer.remove_done_callback(self._one_less)

    def _one_less(self, _: asyncio.Future[Outputs]) -> None:
        self._left -= 1
        if not self._left:
            self.stop.set()


def run(runtime: Runtime, batch: Batch) -> Parts:
    """Join the rows of all that still wait, call the model once, and give each its own rows.

    Runs on a thread.

    Raises:
        Invalid: the model refuses the rows of one of them.
        NotRowByRow: the outputs cannot be told apart.
    """
    requests = batch.unanswered()
    if not requests:
        return []
    batch.rows = sum(each.rows for each in requests)
    batch.began = time.monotonic()
    try:
        outputs = runtime.infer(join(requests), batch.stop)
    finally:
        batch.ended = time.monotonic()
    return share(requests, outputs)


def join(requests: Sequence[Waiting]) -> Mapping[str, Tensor]:
    """The rows of all of them, one after the other."""
    first = requests[0].inputs
    if len(requests) == 1:
        return first
    return {name: np.concatenate([each.inputs[name] for each in requests]) for name in first}


def share(requests: Sequence[Waiting], outputs: Outputs) -> Parts:
    """Give each its own rows of the outputs.

    Raises:
        NotRowByRow: the outputs cannot be told apart.
    """
    if len(requests) == 1:
        return [(requests[0], outputs)]
    rows = sum(each.rows for each in requests)
    if any(tensor.shape[:1] != (rows,) for tensor in outputs.values()):
        raise NotRowByRow("the model does not answer row by row")
    parts, at = [], 0
    for each in requests:
        end = at + each.rows
        parts.append((each, {name: tensor[at:end] for name, tensor in outputs.items()}))
        at = end
    return parts


class NotRowByRow(ModelyardError):
    """The outputs of a batch cannot be told apart; each request is then run by itself."""
