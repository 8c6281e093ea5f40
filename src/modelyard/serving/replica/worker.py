"""The process of a replica: it loads one model version and answers calls, one after the other.

The model lives on the main thread, which libraries expect; sockets are the reception's.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from modelyard.core import collector
from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.profile import Profile
from modelyard.core.tensors import Tensor
from modelyard.serving.language.generation import (
    LanguageModel,
    Piece,
    read_generation,
    written,
)
from modelyard.serving.replica.control import MAX_REASON, Loaded, NotLoaded
from modelyard.serving.replica.frames import pack
from modelyard.serving.replica.messages import Failure
from modelyard.serving.replica.reception import Reception, Work
from modelyard.serving.replica.turns import Turns
from modelyard.serving.runtimes.contract import LoadedModel, RuntimeManifest

MODEL_FAILED: Final = "model_failed"
"""The code of a failure that is the model's own fault."""

_log = logging.getLogger(__name__)

Load = Callable[[Path, RuntimeManifest], LoadedModel]


def run(control: socket.socket, load: Load) -> int:
    """Be a replica for the host at the other end of `control`; returns only if loading fails."""
    reception = Reception(control)
    order = reception.await_order()
    try:
        model = load(Path(order.folder), order.manifest)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's file fails in any way
        known = isinstance(error, ModelyardError)
        if not known:
            # For the replica's log, which its publisher may read.
            _log.exception("the model cannot be loaded")
        code = error.code if isinstance(error, ModelyardError) else MODEL_FAILED
        _tell(control, NotLoaded(code, _reason(error)))
        return 1
    _tell(control, Loaded(_profile(model)))
    if isinstance(model, LanguageModel):
        reception.calls = Turns(model.concurrency, model.spare)
        model.after_step = reception.tell
    collector.keep()
    reception.start()
    if isinstance(model, LanguageModel):
        # The engine makes its batches of calls that are there at once.
        for number in range(1, model.concurrency + model.spare):
            work_on = partial(_serve, model, reception)
            threading.Thread(target=work_on, name=f"call-{number}", daemon=True).start()
    _serve(model, reception)
    return 0


def _serve(model: LoadedModel, reception: Reception) -> None:
    """Answer calls, one after the other, for as long as the process lives."""
    while True:
        work = reception.calls.get()
        try:
            _answer(model, work, partial(reception.calls.begun, work))
        finally:
            reception.done(work)


def _answer(model: LoadedModel, work: Work, begun: Callable[[], None]) -> None:
    """Run the model for one call and send what comes of it, whatever that is."""
    call, endpoint = work.call, work.endpoint
    if work.is_over():
        endpoint.send(work.ended())
        return
    began = time.perf_counter_ns()
    try:
        if isinstance(model, LanguageModel) and call.options:
            _speak(model, work, begun)
            return
        begun()
        outputs: Mapping[str, Tensor] = {}
        if call.stream and model.streams:
            for part in model.stream(work.inputs, work.stop):
                _fits(partial(endpoint.part, call, part))
                if work.is_over():
                    endpoint.send(work.ended())
                    return
        else:
            outputs = model.infer(work.inputs, work.stop)
        micros = (time.perf_counter_ns() - began) // 1000
        _fits(partial(endpoint.answer, call, outputs, micros))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the model's, which fails in any way
        endpoint.send(_failure(work, error))


def _speak(model: LanguageModel, work: Work, begun: Callable[[], None]) -> None:
    """Send text as it comes, and the counts at the end, also of a call that has been cancelled."""
    call, endpoint = work.call, work.endpoint
    first = True

    def hear(piece: Piece) -> None:
        nonlocal first
        if first:
            first = False
            begun()
        endpoint.say(call, piece)
        if not model.steps:
            endpoint.tell()

    finish = model.generate(read_generation(call.options), hear, work.stop)
    if first:
        begun()
    endpoint.answer(call, {}, 0, written(finish))


class _BadOutput(Exception):
    """The model gave something that is no tensor."""


def _fits(send: Callable[[], None]) -> None:
    """Send; outputs that the protocol cannot carry are the model's fault, not the input's."""
    try:
        send()
    except (Invalid, AttributeError, TypeError, ValueError) as error:
        raise _BadOutput(str(error)) from error


def _failure(work: Work, error: BaseException) -> Failure:
    if work.is_over():
        return work.ended()
    if isinstance(error, ModelyardError):
        return Failure(work.call.id, error.code, error.message[:MAX_REASON])
    _log.error("the model failed", exc_info=error)
    return Failure(work.call.id, MODEL_FAILED, _reason(error))


def _reason(error: BaseException) -> str:
    """What a person is told: of an unexpected error its kind and the first line."""
    if isinstance(error, ModelyardError):
        return error.message[:MAX_REASON]
    line = str(error).strip().partition("\n")[0]
    kind = "" if isinstance(error, _BadOutput) else type(error).__name__
    return ": ".join(part for part in (kind, line) if part)[:MAX_REASON]


def _profile(model: LoadedModel) -> Profile:
    return Profile(
        memory_bytes=model.memory_bytes,
        call_seconds=model.call_seconds,
        row_seconds=model.row_seconds,
        stackable=model.stackable,
    )


def _tell(control: socket.socket, message: msgspec.Struct) -> None:
    for buffer in pack(message):
        control.sendall(buffer)
