"""A gateway's connection to the runtime host: versions to be loaded into processes of their own.

The host may go and come back: the connection is made anew, and all that is wanted is said again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from modelyard.adapters.engine.host.address import connect, peer_is_ours
from modelyard.adapters.engine.host.connection import FrameConnection
from modelyard.adapters.engine.host.messages import (
    FROM_HOST,
    WITH_DESCRIPTOR,
    Accuse,
    Clear,
    Connect,
    Connected,
    Drain,
    Failed,
    GatewayMessage,
    Hello,
    HostMessage,
    Load,
    Misbehaved,
    ModelFile,
    Offer,
    Prepared,
    Refused,
    Released,
    ReplicaKey,
    ReplicaOptions,
    ReplicaSpec,
    Unwant,
    Want,
)
from modelyard.core.profile import Profile
from modelyard.core.trust import Trust
from modelyard.serving.ports import Loaded, RouteKey, WantedRoute
from modelyard.serving.replica.channel import Terms
from modelyard.serving.replica.remote import RemoteRuntime
from modelyard.serving.replica.speaker import RemoteSpeaker
from modelyard.serving.runtimes.contract import CannotLoad

GGUF: Final = "gguf"
"""The format of language models, which are asked for text and answer in pieces."""
FIRST_DELAY: Final = 0.05
MOST_DELAY: Final = 2.0
GRACE: Final = 10.0
"""Seconds beyond twice a deployment's time limit in which a replica has to answer something: the
first for a call of another gateway that was before ours, the second for ours.
"""

_log = logging.getLogger(__name__)


class HostClient:
    """A `RuntimeLoader` over the host that listens in `folder`. `load` and `release` may be called
    from any thread, the rest on the event loop alone.

    `max_answer` is the most bytes that a replica may answer with.
    """

    def __init__(self, folder: Path, gateway_id: str, *, max_answer: int) -> None:
        self._folder = folder
        self._gateway_id = gateway_id
        self._max_answer = max_answer
        self._loop = asyncio.get_running_loop()
        self._connection: FrameConnection[HostMessage] | None = None
        self._models: dict[ReplicaKey, _Model] = {}
        self._replicas: dict[str, ReplicaKey] = {}
        self._number = 0
        self._delay = FIRST_DELAY
        self._closed = False
        self._away = False

    # Any thread

    def load(self, wanted: WantedRoute) -> Future[Loaded]:
        """Have the host prepare the version."""
        future: Future[Loaded] = Future()
        self._loop.call_soon_threadsafe(self._want, wanted, future)
        return future

    def release(self, key: RouteKey) -> None:
        """Let the version go when its last request is answered."""
        self._loop.call_soon_threadsafe(self._release, ReplicaKey(*key))

    # The connection

    def start(self) -> None:
        """Connect, and go on trying while nobody is there."""
        if self._closed:
            return
        try:
            sock = connect(self._folder)
            if not peer_is_ours(sock):
                sock.close()
                raise PermissionError("another user's process listens there")
        except OSError as error:
            if not self._away:
                _log.info("the runtime host is away", extra={"error": str(error)})
            self._away = True
            self._loop.call_later(self._delay, self.start)
            self._delay = min(2 * self._delay, MOST_DELAY)
            return
        self._away, self._delay = False, FIRST_DELAY
        self._connection = FrameConnection(
            sock, FROM_HOST, self._on_message, self._on_lost, WITH_DESCRIPTOR
        )
        self._connection.send(Hello(self._gateway_id))
        for model in self._models.values():
            self._connection.send(Want(model.spec))
        for model in self._models.values():
            model.forget()

    def close(self) -> None:
        """Let go of the host and of all replicas."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()
        for model in self._models.values():
            model.close()

    def _on_lost(self, reason: str) -> None:
        self._connection = None
        if not self._closed:
            _log.warning("the runtime host is lost", extra={"reason": reason})
            self._loop.call_later(self._delay, self.start)

    def send(self, message: GatewayMessage) -> None:
        """Tell the host; what it does not hear now, it is told when it is back."""
        if self._connection is not None:
            self._connection.send(message)

    # Models

    def _want(self, wanted: WantedRoute, future: Future[Loaded]) -> None:
        spec = spec_of(wanted)
        model = self._models.get(spec.key)
        if model is None:
            model = self._models[spec.key] = _Model(self, spec)
        model.want(spec, self._terms(wanted), future)
        self.send(Want(spec))

    def _terms(self, wanted: WantedRoute) -> Callable[[Profile], Terms]:
        patience = 2 * wanted.options.timeout_ms / 1000 + GRACE
        return lambda profile: Terms(
            wanted.signature, profile.stackable, patience, self._max_answer
        )

    def _release(self, key: ReplicaKey) -> None:
        model = self._models.get(key)
        if model is not None:
            model.release()

    def ask(self, key: ReplicaKey) -> None:
        """Ask for a channel to a replica."""
        self._number += 1
        self.send(Connect(self._number, key))

    def let_go(self, model: _Model) -> None:
        """Nothing is asked of the model any more."""
        key = model.spec.key
        if self._models.get(key) is model:
            del self._models[key]
            self.send(Unwant(key))

    # What the host says

    def _on_message(self, message: HostMessage, descriptor: int | None) -> None:
        match message:
            case Prepared(key, profile):
                if (model := self._models.get(key)) is not None:
                    model.prepared(profile)
            case Failed(key, reason, retry_after):
                if (model := self._models.get(key)) is not None:
                    model.failed(reason, retry_after)
            case Connected(_, key, replica_id) | Offer(key, replica_id):
                self._connected(key, replica_id, descriptor)
            case Refused(_, key, reason, retry_after):
                if (runtime := self._runtime(key)) is not None:
                    runtime.refused(reason, retry_after)
            case Drain(replica_id):
                self._drain(replica_id)
            case Accuse(key, digests):
                if isinstance(runtime := self._runtime(key), RemoteRuntime):
                    runtime.accused(digests)
            case Clear(key, digests):
                if isinstance(runtime := self._runtime(key), RemoteRuntime):
                    runtime.cleared(digests)

    def _runtime(self, key: ReplicaKey) -> RemoteRuntime | RemoteSpeaker | None:
        model = self._models.get(key)
        return None if model is None else model.runtime

    def _connected(self, key: ReplicaKey, replica_id: str, descriptor: int | None) -> None:
        assert descriptor is not None  # noqa: S101 - the connection has seen to it
        runtime = self._runtime(key)
        if runtime is None or self._closed:
            os.close(descriptor)
            self.send(Released(replica_id))
            return
        self._replicas[replica_id] = key
        runtime.connected(replica_id, socket.socket(fileno=descriptor))

    def _drain(self, replica_id: str) -> None:
        key = self._replicas.get(replica_id)
        runtime = None if key is None else self._runtime(key)
        if runtime is None:
            self.send(Released(replica_id))
        else:
            runtime.drain(replica_id)

    def gone(self, replica_id: str, wrong: str) -> None:
        """There is no channel to the replica any more."""
        self._replicas.pop(replica_id, None)
        if wrong:
            _log.warning("replica misbehaved", extra={"replica": replica_id, "reason": wrong})
            self.send(Misbehaved(replica_id, wrong))
        self.send(Released(replica_id))


class _Model:
    """One version for one deployment: what is wanted, and its runtime once it was prepared. A
    `ReplicaHost` for that runtime.
    """

    def __init__(self, client: HostClient, spec: ReplicaSpec) -> None:
        self.spec = spec
        self.runtime: RemoteRuntime | RemoteSpeaker | None = None
        self._client = client
        self._terms: Callable[[Profile], Terms]
        self._waiting: list[Future[Loaded]] = []

    def want(
        self, spec: ReplicaSpec, terms: Callable[[Profile], Terms], future: Future[Loaded]
    ) -> None:
        self.spec, self._terms = spec, terms
        if self.runtime is None:
            self._waiting.append(future)
        elif future.set_running_or_notify_cancel():
            self.runtime.revive()
            future.set_result(self.runtime)

    def release(self) -> None:
        for future in self._waiting:
            future.cancel()
        self._waiting.clear()
        if self.runtime is None:
            self._client.let_go(self)
        else:
            self.runtime.retire()

    def prepared(self, profile: Profile) -> None:
        terms = self._terms(profile)
        if self.runtime is None:
            speaks = self.spec.format == GGUF
            self.runtime = RemoteSpeaker(terms, self) if speaks else RemoteRuntime(terms, self)
        self.runtime.prepared(terms)
        for future in self._waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(self.runtime)
        self._waiting.clear()

    def failed(self, reason: str, retry_after: float) -> None:
        if self.runtime is not None:
            self.runtime.failed(reason, retry_after)
        for future in self._waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(CannotLoad(reason))
        self._waiting.clear()

    def forget(self) -> None:
        if self.runtime is not None:
            self.runtime.forget()

    def close(self) -> None:
        if self.runtime is not None:
            self.runtime.close()

    # What the runtime asks of its host

    def connect(self) -> None:
        self._client.ask(self.spec.key)

    def load(self, in_flight: int, waiting: int, answered: int) -> None:
        self._client.send(Load(self.spec.key, in_flight, waiting, answered))

    def released(self, replica_id: str, wrong: str) -> None:
        self._client.gone(replica_id, wrong)

    def accuse(self, digests: tuple[bytes, ...]) -> None:
        self._client.send(Accuse(self.spec.key, digests))

    def clear(self, digests: tuple[bytes, ...]) -> None:
        self._client.send(Clear(self.spec.key, digests))

    def unwant(self) -> None:
        self._client.let_go(self)


def spec_of(wanted: WantedRoute) -> ReplicaSpec:
    """What the host is to load."""
    options, replicas = wanted.options, wanted.options.replicas
    chosen = ReplicaOptions(
        pinned=options.pinned, idle_seconds=options.idle_seconds, memory_bytes=options.memory_bytes
    )
    if replicas is not None:
        chosen = ReplicaOptions(
            minimum=replicas.min,
            maximum=replicas.max,
            target_concurrency=replicas.target_concurrency,
            pinned=options.pinned,
            idle_seconds=options.idle_seconds,
            memory_bytes=options.memory_bytes,
        )
    return ReplicaSpec(
        key=ReplicaKey(*wanted.key),
        tenant_id=wanted.tenant_id,
        name=wanted.name,
        model=wanted.model,
        version=wanted.version,
        format=wanted.format,
        trust=wanted.trust or Trust.CODE,
        files=tuple(
            ModelFile(one.role, one.name, one.digest, one.size) for one in wanted.artifacts
        ),
        signature=wanted.signature,
        options=chosen,
        profile=wanted.profile,
        language=options.language,
    )
