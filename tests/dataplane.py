"""A gateway's data plane over real ONNX graphs, driven as raw ASGI."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from modelyard.adapters.memory.allowances import MemoryAllowances
from modelyard.api.asgi import App
from modelyard.api.capacity import Capacity
from modelyard.api.front import Front
from modelyard.api.inference.extension_routes import ExtensionRoutes
from modelyard.api.inference.extensions import Extensions
from modelyard.api.inference.openai.application import OpenAiApp
from modelyard.api.inference.routes import InferenceRoutes
from modelyard.api.limits import ConnectionLimits
from modelyard.core.access import Grant, Scope
from modelyard.core.clock import Clock, SystemClock
from modelyard.core.errors import NotFound
from modelyard.core.events import PredictionMade
from modelyard.core.journal import unframe
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.serving.journal import JournalWriter
from modelyard.serving.limits.charges import Rates
from modelyard.serving.limits.quota import WantedQuota
from modelyard.serving.metrics import Metrics, read_totals
from modelyard.serving.options import ServingOptions
from modelyard.serving.ports import KeyEntry, Runtime, WantedArtifact, WantedRoute
from modelyard.serving.runtimes.onnx import OnnxLoader
from modelyard.serving.service import InferenceService
from modelyard.serving.slots import Series
from modelyard.serving.snapshot import Route, Snapshot
from modelyard.serving.tracing import Tracer

TENANT = "tnt_1"
OTHER_TENANT = "tnt_2"
LIMIT = 1 << 20

ONNX_TYPE = {
    Datatype.BOOL: TensorProto.BOOL,
    Datatype.UINT8: TensorProto.UINT8,
    Datatype.UINT16: TensorProto.UINT16,
    Datatype.UINT32: TensorProto.UINT32,
    Datatype.UINT64: TensorProto.UINT64,
    Datatype.INT8: TensorProto.INT8,
    Datatype.INT16: TensorProto.INT16,
    Datatype.INT32: TensorProto.INT32,
    Datatype.INT64: TensorProto.INT64,
    Datatype.FP16: TensorProto.FLOAT16,
    Datatype.FP32: TensorProto.FLOAT,
    Datatype.FP64: TensorProto.DOUBLE,
    Datatype.BYTES: TensorProto.STRING,
}


def graph(
    nodes: Sequence[onnx.NodeProto],
    signature: Signature,
    constants: Mapping[str, Any] | None = None,
) -> bytes:
    """A graph with the signature's inputs and outputs."""

    def values(specs: Sequence[TensorSpec]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(
                spec.name,
                ONNX_TYPE[spec.datatype],
                [None if size == -1 else size for size in spec.shape],
            )
            for spec in specs
        ]

    initial = [
        helper.make_tensor(name, TensorProto.INT64, [len(value)], value)
        for name, value in (constants or {}).items()
    ]
    made = helper.make_graph(
        nodes, "g", values(signature.inputs), values(signature.outputs), initial
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@dataclass
class Model:
    """A graph, its signature and the name under which it is deployed."""

    name: str
    signature: Signature
    graph: bytes


def echo(datatype: Datatype, shape: tuple[int, ...] = (-1, -1), *, nullable: bool = False) -> Model:
    """Gives back what it takes."""
    signature = Signature(
        (TensorSpec("x", datatype, shape, nullable=nullable),), (TensorSpec("y", datatype, shape),)
    )
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return Model(f"echo-{datatype.lower()}", signature, graph(nodes, signature))


def table() -> Model:
    """One tensor with named columns; predicts their sum."""
    signature = Signature(
        (TensorSpec("features", Datatype.FP32, (-1, 3), ("age", "income", "member"), True),),
        (TensorSpec("prediction", Datatype.FP32, (-1,)),),
    )
    nodes = [helper.make_node("ReduceSum", ["features", "axis"], ["prediction"], keepdims=0)]
    return Model("table", signature, graph(nodes, signature, {"axis": [1]}))


def classifier() -> Model:
    """One tensor per column; its label is the city, its probabilities the age and itself."""
    signature = Signature(
        (
            TensorSpec("age", Datatype.FP32, (-1,), nullable=True),
            TensorSpec("city", Datatype.BYTES, (-1,), nullable=True),
        ),
        (
            TensorSpec("label_", Datatype.BYTES, (-1,)),
            TensorSpec("probabilities", Datatype.FP32, (-1, 2), ("no", "yes")),
        ),
    )
    nodes = [
        helper.make_node("Identity", ["city"], ["label_"]),
        helper.make_node("Unsqueeze", ["age", "axis"], ["column"]),
        helper.make_node("Concat", ["column", "column"], ["probabilities"], axis=1),
    ]
    return Model("classifier", signature, graph(nodes, signature, {"axis": [1]}))


def several() -> Model:
    """Two inputs that must not be missing, and two outputs of different rank."""
    signature = Signature(
        (TensorSpec("a", Datatype.INT64, (-1,)), TensorSpec("b", Datatype.INT64, (-1, 2))),
        (TensorSpec("c", Datatype.INT64, (-1,)), TensorSpec("d", Datatype.INT64, (-1, 2))),
    )
    nodes = [
        helper.make_node("Identity", ["a"], ["c"]),
        helper.make_node("Identity", ["b"], ["d"]),
    ]
    return Model("several", signature, graph(nodes, signature))


def summed() -> Model:
    """Its outputs do not come in rows: a scalar beside a batch."""
    signature = Signature(
        (TensorSpec("a", Datatype.INT64, (-1,)),),
        (TensorSpec("same", Datatype.INT64, (-1,)), TensorSpec("sum", Datatype.INT64, ())),
    )
    nodes = [
        helper.make_node("Identity", ["a"], ["same"]),
        helper.make_node("ReduceSum", ["a", "axis"], ["sum"], keepdims=0),
    ]
    return Model("summed", signature, graph(nodes, signature, {"axis": [0]}))


def picker() -> Model:
    """Looks a value up by index: an index out of range is the graph's own to refuse."""
    signature = Signature(
        (TensorSpec("at", Datatype.INT64, (-1,)),), (TensorSpec("value", Datatype.INT64, (-1,)),)
    )
    nodes = [helper.make_node("Gather", ["values", "at"], ["value"])]
    return Model("picker", signature, graph(nodes, signature, {"values": [10, 20, 30]}))


class MemoryBlobs:
    """What the loader needs of the blobs."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def add(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.held[digest] = data
        return digest

    def get(self, digest: str) -> bytes:
        try:
            return self.held[digest]
        except KeyError:
            raise NotFound(f"there is no blob {digest}") from None


def wanted(
    model: Model,
    digest: str,
    tenant_id: str = TENANT,
    version: int = 1,
    options: ServingOptions | None = None,
) -> WantedRoute:
    """The route of a deployment to a version of the model."""
    return WantedRoute(
        deployment_id=f"dep_{model.name}",
        tenant_id=tenant_id,
        name=model.name,
        model=f"m-{model.name}",
        version=version,
        version_id=f"ver_{model.name}_{version}",
        signature=model.signature,
        artifacts=(WantedArtifact("model", "model.onnx", "onnx", digest, 1),),
        options=options or ServingOptions(),
    )


def load(
    model: Model,
    tenant_id: str = TENANT,
    version: int = 1,
    options: ServingOptions | None = None,
) -> tuple[WantedRoute, Runtime]:
    """The model in ONNX Runtime."""
    blobs = MemoryBlobs()
    route = wanted(model, blobs.add(model.graph), tenant_id, version, options)
    return route, OnnxLoader(blobs).load(route)  # type: ignore[arg-type]


@dataclass
class Answer:
    """What came back over ASGI."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    closed: bool = False

    def json(self) -> Any:
        return json.loads(self.body)


async def call(
    app: App,
    method: str,
    path: str,
    body: bytes | object = b"",
    headers: Mapping[str, str] | None = None,
    *,
    key: str | None = None,
    parts: int = 1,
) -> Answer:
    """Send one request to an ASGI app; anything but bytes goes as JSON."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = dict(headers or {})
    if key is not None:
        lines["authorization"] = f"Bearer {key}"
    step = max(1, -(-len(sent) // parts))
    pieces = [sent[at : at + step] for at in range(0, len(sent), step)] or [b""]
    messages = [
        {"type": "http.request", "body": piece, "more_body": at + 1 < len(pieces)}
        for at, piece in enumerate(pieces)
    ]
    answer = Answer()

    async def receive() -> MutableMapping[str, Any]:
        if not messages:
            # This client stays until it has its answer.
            await asyncio.Event().wait()
        return messages.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert answer.status == 0, "answered twice"
            answer.status = int(message["status"])
            answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")
        else:
            answer.closed = message["type"] == "websocket.close"

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode()) for k, v in lines.items()],
    }
    await app(scope, receive, send)
    return answer


class Gateway:
    """One gateway without its server: front door, data plane, journal, metrics."""

    def __init__(
        self, folder: Path, clock: Clock | None = None, tracer: Tracer | None = None
    ) -> None:
        self.folder = folder
        self.journal = JournalWriter(folder / "journal", 50)
        self.service = InferenceService(
            clock or SystemClock(),
            lambda secret: hashlib.sha256(secret).digest(),
            self.journal,
            threads=2,
            allowances=MemoryAllowances(),
        )
        self.metrics = Metrics(folder / "metrics", "gwy_1")
        self.capacity = Capacity(ConnectionLimits(max_body=LIMIT))
        self.extensions = Extensions(self.service, partial(read_totals, folder / "metrics"))
        self.inference = InferenceRoutes(
            self.service,
            ExtensionRoutes(self.extensions, max_request_bytes=LIMIT),
            self.capacity,
            server_version="0.0.0",
            max_request_bytes=LIMIT,
            tracer=tracer,
        )
        self.front = Front(
            self.service,
            self.inference,
            folder / "metrics",
            self.capacity,
            max_request_bytes=LIMIT,
            openai=OpenAiApp(self.service, max_request_bytes=LIMIT),
        )
        self.quotas: list[WantedQuota] = []
        self.rates: dict[str, Sequence[Rates]] = {}
        self._keys: dict[bytes, KeyEntry] = {}
        self._routes: dict[tuple[str, str], Route] = {}

    def publish(self, failures: Mapping[tuple[str, str], str] | None = None) -> None:
        """Put what was added in force."""
        snapshot = Snapshot(
            1,
            dict(self._keys),
            dict(self._routes),
            failures or {},
            quotas=tuple(self.quotas),
            rates=dict(self.rates),
        )
        self.service.publish(snapshot)

    @property
    def keys(self) -> Sequence[KeyEntry]:
        """The keys that were made."""
        return list(self._keys.values())

    def key(
        self, secret: str, scope: str = Scope.INFER, tenant: str = TENANT, expires: Any = None
    ) -> str:
        """Make a key of this secret."""
        hashed = hashlib.sha256(secret.encode()).digest()
        grant = Grant(f"key_{secret}", tenant, scope)
        self._keys[hashed] = KeyEntry(hashed, grant, expires)
        return secret

    def revoke(self, secret: str) -> None:
        """Take the key away."""
        del self._keys[hashlib.sha256(secret.encode()).digest()]

    def deploy(
        self,
        *models: Model,
        tenant: str = TENANT,
        inline_rows: int = 1000,
        options: ServingOptions | None = None,
    ) -> None:
        """Serve these models."""
        for model in models:
            route, runtime = load(model, tenant, options=options)
            series = Series(tenant, model.name, route.model, route.version)
            metrics = self.metrics.route(series)
            self._routes[tenant, model.name] = Route.of(route, runtime, inline_rows, metrics)

    def subscribe(self, tenant: str, name: str) -> None:
        """Let another tenant call `TENANT`'s deployment by its own name."""
        self._routes[tenant, name] = self._routes[TENANT, name]

    def events(self) -> list[PredictionMade]:
        """What the journal holds."""
        files = sorted((self.folder / "journal").glob("*.journal"))
        return [event for file in files for _, event in unframe(file.read_bytes())]

    async def close(self) -> None:
        """Let go of files and threads."""
        await self.journal.close()
        self.service.close()


def wait_until(true: Any, seconds: float = 10.0) -> None:
    """Wait until `true()` holds, or fail."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
