"""What one gateway with one small model costs before it is asked anything: start and memory."""

from __future__ import annotations

import http.client
import time
from typing import Final

import msgspec
import psutil

from bench.contenders import Contender
from bench.models import Model
from bench.payloads import payload
from bench.scenarios import scenario
from bench.servers import Server, running

_SETTLE_SECONDS: Final = 3.0
_GIVE_UP_SECONDS: Final = 60


class Standing(msgspec.Struct, frozen=True):
    """Bytes of the gateway; seconds to the first answer from its own start and the command's."""

    resident: int
    proportional: int
    first_answer: float
    first_answer_command: float


def stand(contender: Contender, model: Model, core: int) -> Standing:
    """Start it, ask until it answers, let it come to rest, and weigh it."""
    with running(contender, [core]) as server:
        answered = _first_answer(server, model)
        gateway = server.answering()[0]
        # Process times are since boot; a clock that may be set cannot be compared with them.
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - _born(gateway)
        waited = time.monotonic() - answered
        time.sleep(_SETTLE_SECONDS)
        memory = server.memory()
        return Standing(
            memory.resident, memory.proportional, age - waited, answered - server.started
        )


def _first_answer(server: Server, model: Model) -> float:
    request = payload(scenario("B"), model, server.contender.dialect)
    assert request is not None
    while time.monotonic() - server.started < _GIVE_UP_SECONDS:
        server.alive()
        try:
            status, _, _ = server.post(model.name, request.body, request.headers)
        except (OSError, http.client.HTTPException):
            status = 0
        if status == 200:
            return time.monotonic()
        time.sleep(0.005)
    raise TimeoutError(f"no answer within {_GIVE_UP_SECONDS} s")


def _born(process: psutil.Process) -> float:
    """Seconds from boot to the start of the process."""
    seconds: float = process.create_time() - psutil.boot_time()
    return seconds
