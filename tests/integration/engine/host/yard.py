"""A runtime host in this process, with real replicas, and gateways that talk to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from modelyard.adapters.blobs import local_blobs
from modelyard.adapters.engine.host import address
from modelyard.adapters.engine.host.budget import Budget
from modelyard.adapters.engine.host.connection import FrameConnection
from modelyard.adapters.engine.host.files import ReplicaFiles
from modelyard.adapters.engine.host.launching import Launcher
from modelyard.adapters.engine.host.messages import (
    FROM_HOST,
    WITH_DESCRIPTOR,
    Connect,
    Connected,
    Drain,
    Failed,
    Hello,
    Load,
    ModelFile,
    Offer,
    Prepared,
    Refused,
    Released,
    ReplicaKey,
    ReplicaOptions,
    ReplicaSpec,
    Want,
)
from modelyard.adapters.engine.host.scheduler import Scheduler
from modelyard.adapters.engine.host.server import RuntimeHost
from modelyard.adapters.engine.host.tally import Tally
from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.core.trust import Trust
from modelyard.serving.replica.frames import Frame, FrameReader, pack
from modelyard.serving.replica.messages import (
    FROM_REPLICA,
    Answer,
    Call,
    Failure,
    Part,
    lay_out,
    read_tensors,
)

SCALED = Signature(
    inputs=(TensorSpec("x", Datatype.FP32, (-1, 2)),),
    outputs=(TensorSpec("y", Datatype.FP32, (-1, 2)),),
)
MIB = 1 << 20


async def until(true: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait until it is true."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.005)
    assert true(), what


class Channel:
    """A gateway's end of a channel, used call by call."""

    def __init__(self, descriptor: int) -> None:
        self.socket = socket.socket(fileno=descriptor)
        self.socket.setblocking(False)
        self._reader = FrameReader[Answer | Part | Failure](FROM_REPLICA, 1 << 30)
        self._frames: list[Frame[Answer | Part | Failure]] = []
        self._calls = 0
        self.asking = False
        self.then: Callable[[], None] | None = None
        """What is to be done once the call in flight has ended."""

    async def ask(
        self, inputs: dict[str, Tensor], **options: Any
    ) -> tuple[Answer | Part | Failure, dict[str, Tensor]]:
        """One call and its answer. Raises ConnectionError when the replica is gone."""
        self.asking = True
        try:
            await self.send(inputs, **options)
            return await self.hear()
        finally:
            self.asking = False
            if self.then is not None:
                self.then()

    async def send(self, inputs: dict[str, Tensor], **options: Any) -> int:
        self._calls += 1
        heads, payload = lay_out(inputs)
        call = Call(self._calls, heads, **options)
        await asyncio.get_running_loop().sock_sendall(self.socket, b"".join(pack(call, payload)))
        return self._calls

    async def hear(self) -> tuple[Answer | Part | Failure, dict[str, Tensor]]:
        async with asyncio.timeout(60):
            while not self._frames:
                data = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 16)
                if not data:
                    raise ConnectionResetError("the replica is gone")
                self._frames += self._reader.feed(data)
        message, payload = self._frames.pop(0)
        heads = () if isinstance(message, Failure) else message.outputs
        return message, read_tensors(heads, payload)

    def close(self) -> None:
        self.socket.close()


class FakeGateway:
    """Says what a gateway says, and notes what it hears. It gives back what is asked back."""

    def __init__(self, folder: Path, name: str) -> None:
        self.heard: list[Any] = []
        self.channels: dict[str, Channel] = {}
        self.of: dict[ReplicaKey, list[str]] = {}
        self.state: dict[ReplicaKey, Prepared | Failed] = {}
        self.drains = True
        self._requests = 0
        self.connection: FrameConnection[Any] = FrameConnection(
            address.connect(folder), FROM_HOST, self._heard, self.heard.append, WITH_DESCRIPTOR
        )
        self.say(Hello(name))

    def say(self, message: Any) -> None:
        self.connection.send(message)

    def want(self, spec: ReplicaSpec) -> None:
        self.say(Want(spec))

    async def prepared(self, key: ReplicaKey) -> None:
        await until(lambda: isinstance(self.state.get(key), Prepared), f"{key} is prepared")

    async def failed(self, key: ReplicaKey) -> Failed:
        await until(lambda: isinstance(self.state.get(key), Failed), f"{key} has failed")
        state = self.state[key]
        assert isinstance(state, Failed)
        return state

    async def connect(self, key: ReplicaKey) -> Channel:
        """A channel to a replica of this version; AssertionError if it is refused."""
        self._requests += 1
        number = self._requests
        self.say(Load(key, waiting=1))
        self.say(Connect(number, key))

        def answer() -> Any:
            kinds = (Connected, Refused)
            return next(
                (m for m in self.heard if isinstance(m, kinds) and m.request == number), None
            )

        await until(answer, "an answer to a Connect", 60)
        assert isinstance(answer(), Connected), answer()
        return self.channels[answer().replica_id]

    def live(self, key: ReplicaKey) -> list[str]:
        return [one for one in self.of.get(key, []) if one in self.channels]

    def done(self, key: ReplicaKey, answered: int = 1) -> None:
        self.say(Load(key, answered=answered))

    def release(self, replica_id: str) -> None:
        channel = self.channels.pop(replica_id, None)
        if channel is not None:
            channel.close()
        self.say(Released(replica_id))

    def close(self) -> None:
        self.connection.close()
        for channel in self.channels.values():
            channel.close()

    def _heard(self, message: Any, descriptor: int | None) -> None:
        self.heard.append(message)
        if isinstance(message, Connected | Offer):
            assert descriptor is not None
            if message.replica_id in self.channels:
                self.channels[message.replica_id].close()
            self.channels[message.replica_id] = Channel(descriptor)
            self.of.setdefault(message.key, []).append(message.replica_id)
        elif isinstance(message, Prepared | Failed):
            self.state[message.key] = message
        elif isinstance(message, Drain) and self.drains:
            self._drain(message.replica_id)

    def _drain(self, replica_id: str) -> None:
        """Give it back, as a gateway does: what is in flight ends first."""
        channel = self.channels.get(replica_id)
        if channel is not None and channel.asking:
            channel.then = partial(self.release, replica_id)
        else:
            self.release(replica_id)


class Yard:
    """The host's parts, to be looked at."""

    def __init__(self, root: Path, budget: int, grace: float) -> None:
        self.root = root
        self.blobs = local_blobs(root / "blobs")
        self.files = ReplicaFiles(root / "replicas", self.blobs)
        self.files.sweep()
        launcher = Launcher(Sandbox(detect()), "modelyard.bootstrap")
        (root / "metrics").mkdir()
        tally = Tally(root / "metrics", budget)
        self.budget = Budget(budget)
        self.scheduler = Scheduler(launcher, self.files, tally, self.budget, grace)
        self.gateways: list[FakeGateway] = []

    def gateway(self) -> FakeGateway:
        gateway = FakeGateway(self.root / "run", f"gwy_{len(self.gateways)}")
        self.gateways.append(gateway)
        return gateway

    def spec(
        self,
        file: Path,
        name: str = "one",
        *,
        form: str = "onnx",
        trust: Trust = Trust.INLINE,
        signature: Signature = SCALED,
        **options: Any,
    ) -> ReplicaSpec:
        digest = self.blobs.put(file)
        return ReplicaSpec(
            key=ReplicaKey(f"dep_{name}", f"ver_{name}"),
            tenant_id="tnt_1",
            name=name,
            model=name,
            version=1,
            format=form,
            trust=trust,
            files=(ModelFile("model", file.name, digest, file.stat().st_size),),
            signature=signature,
            options=ReplicaOptions(**options),
        )

    @staticmethod
    def with_options(spec: ReplicaSpec, **options: Any) -> ReplicaSpec:
        return msgspec.structs.replace(
            spec, options=msgspec.structs.replace(spec.options, **options)
        )


@asynccontextmanager
async def running(root: Path, budget: int = 2048 * MIB, grace: float = 5.0) -> AsyncIterator[Yard]:
    """A host that listens."""
    yard = Yard(root, budget, grace)
    stop = asyncio.Event()
    host = asyncio.create_task(RuntimeHost(root / "run", yard.scheduler).run(stop))
    await until((root / "run" / address.SOCKET).exists, "the host listens")
    try:
        yield yard
    finally:
        for gateway in yard.gateways:
            gateway.close()
        stop.set()
        await host


def rows(*values: float) -> dict[str, Tensor]:
    """An input of the scaled model."""
    return {"x": np.array(values, np.float32).reshape(-1, 2)}
