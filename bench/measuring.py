"""One run after the other, each server in turn, so that what disturbs one disturbs all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping

import msgspec

from bench.contenders import SESSION
from bench.inprocess import Done, Work
from bench.load import Last, Order, Tally
from bench.models import Model
from bench.payloads import HEADER_LENGTH, Dialect, Payload, labels_in, payload
from bench.scenarios import Scenario
from bench.servers import Server

_BATCHES = [1, 2, 4, 8, 16, 32, 64]


class Run(msgspec.Struct, frozen=True):
    """One run. Processor microseconds a request: of the processes that answer, and of all.

    Latencies in microseconds. `load_cores`: how many cores the load generator kept busy.
    """

    scenario: str
    server: str
    rate: float
    cpu: float
    cpu_all: float
    p50: float = 0.0
    p99: float = 0.0
    failed: int = 0
    load_cores: float = 0.0
    note: str = ""


class CannotRun(Exception):
    """The server does not do this scenario, or does it wrong; the message says what happened."""


class Bench:
    """Runs scenarios of `seconds` on servers, from the cores that the load generator has."""

    def __init__(
        self, models: Mapping[str, Model], seconds: float, server_core: int, load_cores: list[int]
    ) -> None:
        self._models = models
        self._seconds = seconds
        self._server_core = server_core
        self._load_cores = load_cores
        self._warm: set[tuple[int, str]] = set()

    def load(
        self, server: Server, scenario: Scenario, *, cores: Iterable[int] | None = None
    ) -> Run:
        """Load a server, after a check of its answer and a short run that is not counted.

        Raises:
            CannotRun: its dialect has no such request, or its answer is not right.
        """
        contender = server.contender
        request = payload(scenario, self._models[scenario.model], contender.dialect)
        if request is None:
            raise CannotRun("has no binary form")
        cores = self._load_cores if cores is None else list(cores)
        if (server.process.pid, scenario.letter) not in self._warm:
            _check(server, scenario, request)
            _generate(server, scenario, request, min(1.0, self._seconds / 2), cores)
            self._warm.add((server.process.pid, scenario.letter))
        before, before_all = server.cpu()
        tally = _generate(server, scenario, request, self._seconds, cores)
        after, after_all = server.cpu()
        for last in tally.last:
            # Refusals are counted; they are not wrong.
            if last.status == 200 and not _right(last, request):
                raise CannotRun(f"wrong under load: {last.body[:120]!r}")
        if not tally.answered:
            raise CannotRun("answered nothing under load")
        return Run(
            scenario=scenario.letter,
            server=contender.name,
            rate=tally.answered / tally.seconds,
            cpu=(after - before) / tally.answered * 1e6,
            cpu_all=(after_all - before_all) / tally.answered * 1e6,
            p50=tally.p50,
            p99=tally.p99,
            failed=tally.failed,
            load_cores=tally.cpu / tally.seconds,
        )

    def in_process(self, scenario: Scenario) -> Run:
        """The same model and request on the server's core, without a server."""
        model = self._models[scenario.model]
        request = payload(scenario, model, Dialect.V2)
        assert request is not None
        length = request.headers.get(HEADER_LENGTH)
        batches = _BATCHES if scenario.batched else []
        work = Work(
            str(model.graph),
            request.body,
            None if length is None else int(length),
            self._seconds / max(1, len(batches)),
            batches,
        )
        done = msgspec.json.decode(
            _child("bench.inprocess", msgspec.json.encode(work), [self._server_core]), type=Done
        )
        note = f"{done.batch} rows a call, no decoding" if batches else "decoding and inference"
        return Run(scenario.letter, SESSION, done.rate, done.cpu, done.cpu, note=note)


def _check(server: Server, scenario: Scenario, request: Payload) -> None:
    try:
        status, body, headers = server.post(scenario.model, request.body, request.headers)
    except OSError as error:
        raise CannotRun(f"does not answer: {error}") from None
    if status != 200:
        raise CannotRun(f"answers {status}: {body[:160]!r}")
    try:
        labels = labels_in(body, headers.get(HEADER_LENGTH))
    except ValueError as error:
        raise CannotRun(str(error)) from None
    if labels != request.labels:
        raise CannotRun(f"predicts {labels[:5]}, not {request.labels[:5]}")


def _right(last: Last, request: Payload) -> bool:
    try:
        return labels_in(last.body, last.header_length) == request.labels
    except ValueError:
        return False


def _generate(
    server: Server, scenario: Scenario, request: Payload, seconds: float, cores: list[int]
) -> Tally:
    order = Order(
        port=server.port,
        path=server.contender.path.format(model=scenario.model),
        headers={**server.headers, **request.headers},
        body=request.body,
        connections=scenario.connections,
        seconds=seconds,
    )
    said = _child("bench.load", msgspec.json.encode(order), cores)
    return msgspec.json.decode(said, type=Tally)


def _child(module: str, given: bytes, cores: list[int]) -> bytes:
    pinned = ["taskset", "-c", ",".join(map(str, cores))]
    return subprocess.run(
        [*pinned, sys.executable, "-m", module], input=given, stdout=subprocess.PIPE, check=True
    ).stdout
