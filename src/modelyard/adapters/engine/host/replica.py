"""A replica as its host sees it: from its files to its end."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple

from modelyard.adapters.engine.host.connection import FrameConnection
from modelyard.adapters.engine.host.files import ReplicaFiles, ReplicaFolder
from modelyard.adapters.engine.host.launching import Launcher, ReplicaProcess
from modelyard.adapters.engine.host.messages import ReplicaSpec
from modelyard.adapters.engine.host.output import ReplicaOutput
from modelyard.adapters.engine.status import describe
from modelyard.core.errors import ModelyardError
from modelyard.core.profile import Profile
from modelyard.serving.options import LanguageOptions
from modelyard.serving.replica.answers import said
from modelyard.serving.replica.control import FROM_REPLICA, Loaded, NotLoaded, Order, Serve
from modelyard.serving.runtimes.contract import LanguageManifest, RuntimeManifest

_MOST_REASON: Final = 500

_log = logging.getLogger(__name__)


class Cause(StrEnum):
    """Why a replica is no more."""

    UNWANTED = "unwanted"
    """Nobody wants its version any more, or the host stops."""
    IDLE = "idle"
    """There was less to do."""
    MEMORY = "memory"
    """Another one needed its memory."""
    REFUSED = "refused"
    """It could not be loaded, and said why."""
    TIMEOUT = "timeout"
    """Loading took too long."""
    MISBEHAVED = "misbehaved"
    """A gateway has complained of it."""
    OVERGROWN = "overgrown"
    """It took more than it may have."""
    DIED = "died"
    """It ended by itself."""


class State(StrEnum):
    """Where a replica is in its life."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


EXPECTED: Final = frozenset({Cause.UNWANTED, Cause.IDLE, Cause.MEMORY})
"""Causes that say nothing against the version."""


class End(NamedTuple):
    """How a replica ended; `reason` is for a person."""

    cause: Cause
    reason: str = ""


class Replica:
    """One process with one loaded version.

    `on_loaded` is called when it can serve, `on_gone` when nothing is left of it: process, folder
    and descriptors. `need` is the memory that it is expected to take, in bytes.
    """

    def __init__(
        self,
        replica_id: str,
        spec: ReplicaSpec,
        need: int,
        *,
        on_loaded: Callable[[Replica], None],
        on_gone: Callable[[Replica, End], None],
    ) -> None:
        self.id = replica_id
        self.spec = spec
        self.need = need
        self.peak = 0
        """The most that it was seen to take."""
        self.profile: Profile | None = None
        self.draining: Cause | None = None
        self.began_at = 0.0
        self.loaded_at = math.inf
        self._on_loaded = on_loaded
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._control: FrameConnection[Loaded | NotLoaded] | None = None
        self._process: ReplicaProcess | None = None
        self._ends: asyncio.Future[End] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether calls may be sent to it."""
        return self.state is State.READY

    @property
    def state(self) -> State:
        """Where it is in its life."""
        over = self._control is not None and self._control.closed
        if self.draining is not None or self._ends.done() or over:
            return State.DRAINING
        return State.LOADING if self.profile is None else State.READY

    @property
    def charge(self) -> int:
        """What it counts for in the host's budget of memory."""
        return self.peak or self.need

    @property
    def pid(self) -> int | None:
        """Its process, while it has one."""
        return None if self._process is None else self._process.pid

    def start(self, files: ReplicaFiles, launcher: Launcher, memory: int) -> None:
        """Load the version in a new process that may use `memory` bytes."""
        self.began_at = self._loop.time()
        self._task = self._loop.create_task(self._live(files, launcher, memory))

    def serve(self) -> int | None:
        """A new channel to it: the descriptor of the gateway's end, which is the caller's.

        None if its process has ended, which its gateways may have seen before its host.
        """
        ours, theirs = socket.socketpair()
        if self._control is None:
            theirs.close()
        else:
            self._control.send(Serve(), theirs.detach())
        if not self.ready:
            ours.close()
            return None
        return ours.detach()

    def kill(self, end: End) -> None:
        """End it now, for this reason if it has not ended for another."""
        if not self._ends.done():
            self._ends.set_result(end)

    async def gone(self) -> None:
        """Wait until nothing is left of it."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _live(self, files: ReplicaFiles, launcher: Launcher, memory: int) -> None:
        output = ReplicaOutput()
        try:
            folder = await asyncio.to_thread(files.fetch, self.id, self.spec)
            if not self._ends.done():
                self._launch(folder, launcher, memory, output)
            end = await self._end()
        except ModelyardError as error:
            end = End(Cause.REFUSED, error.message)
        except OSError as error:
            end = End(Cause.REFUSED, f"it could not be started: {error.strerror or error}")
        except Exception:  # noqa: BLE001 - it must not stay in the books for ever
            _log.exception("a replica could not be started", extra={"replica": self.id})
            end = End(Cause.REFUSED, "it could not be started")
        try:
            end = await self._clear(end, output, files)
        finally:
            self._on_gone(self, End(end.cause, end.reason[:_MOST_REASON]))

    async def _clear(self, end: End, output: ReplicaOutput, files: ReplicaFiles) -> End:
        """Leave nothing of it; returns what is known now of how it ended."""
        if self._process is not None:
            status = await asyncio.to_thread(self._process.kill)
            end = self._explain(end, self._process, status)
        if self._control is not None:
            self._control.close()
        output.close()
        if end.cause is Cause.DIED and output.last_line:
            end = End(end.cause, f"{end.reason}; the last that it said: {output.last_line}")
        await asyncio.to_thread(files.remove, self.id)
        self._note(end, output)
        return end

    def _launch(
        self, folder: ReplicaFolder, launcher: Launcher, memory: int, output: ReplicaOutput
    ) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = launcher.start(
                    self.spec, folder, memory, theirs.fileno(), output.writing
                )
            except BaseException:
                ours.close()
                raise
            finally:
                output.follow()
        self._control = FrameConnection(ours, FROM_REPLICA, self._heard, self._lost)
        manifest = RuntimeManifest(
            self.spec.format, folder.files, self.spec.signature, language=_language(self.spec)
        )
        self._control.send(Order(str(folder.model), manifest))

    async def _end(self) -> End:
        """Wait for the end, and see to it that it is noticed."""
        if self._process is None:
            return await self._ends
        watch = os.pidfd_open(self._process.pid)
        # Not at once: what it said last is read before.
        died = partial(self._loop.call_soon, self.kill, End(Cause.DIED))
        self._loop.add_reader(watch, died)
        seconds = self.spec.options.load_seconds
        late = End(Cause.TIMEOUT, f"loading took longer than its {seconds:g} s")
        timer = self._loop.call_later(seconds, self._unless_loaded, late)
        try:
            return await self._ends
        finally:
            timer.cancel()
            self._loop.remove_reader(watch)
            os.close(watch)

    def _unless_loaded(self, end: End) -> None:
        if self.profile is None:
            self.kill(end)

    def _heard(self, message: Loaded | NotLoaded, _descriptor: int | None) -> None:
        if self._ends.done():
            return
        if self.profile is not None:
            self.kill(End(Cause.MISBEHAVED, "it says more than once that it is loaded"))
        elif isinstance(message, NotLoaded):
            self.kill(End(Cause.REFUSED, said(message.reason)))
        else:
            self.profile = _believable(message.profile)
            self.loaded_at = self._loop.time()
            self._on_loaded(self)

    def _lost(self, reason: str) -> None:
        # It is about to end; how is seen then. Without a control connection it is of no use.
        self._loop.call_later(
            1.0, self.kill, End(Cause.MISBEHAVED, f"of its host's socket {reason}")
        )

    @staticmethod
    def _explain(end: End, process: ReplicaProcess, status: int) -> End:
        if process.killed_because:
            return End(Cause.OVERGROWN, process.killed_because)
        if end.cause is Cause.DIED:
            return End(Cause.DIED, f"its process {describe(status)}")
        return end

    def _note(self, end: End, output: ReplicaOutput) -> None:
        facts = {
            "replica": self.id,
            "model": self.spec.model,
            "version": self.spec.version,
            "deployment": self.spec.name,
            "cause": end.cause.value,
            "reason": end.reason,
        }
        if end.cause in EXPECTED:
            _log.info("a replica was unloaded", extra=facts)
        else:
            _log.warning("a replica is gone", extra=facts | {"last_words": output.last_words})


def _language(spec: ReplicaSpec) -> LanguageManifest | None:
    known = None if spec.profile is None else spec.profile.language
    if known is None and spec.language is None:
        return None
    return LanguageManifest(
        spec.language or LanguageOptions(), () if known is None else known.engines
    )


def _believable(told: Profile) -> Profile:
    """What a replica says of itself, as far as it can be: it may run anybody's code."""
    return Profile(
        memory_bytes=max(0, told.memory_bytes),
        call_seconds=_seconds(told.call_seconds),
        row_seconds=_seconds(told.row_seconds),
        stackable=told.stackable,
    )


def _seconds(told: float) -> float:
    return told if told >= 0 else math.inf
