"""Who is measured: the bare handler, Modelyard, the peers; how each is started and spoken to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.environments import ROOT, environment, versions
from bench.payloads import Dialect

BARE: Final = "bare uvicorn"
SESSION: Final = "session in-process"
OURS: Final = "Modelyard"
MLSERVER: Final = "MLServer"
LITSERVE: Final = "LitServe"
TRITON: Final = "Triton, Python backend"

_V2: Final = "/v2/models/{model}/infer"
_V2_READY: Final = "/v2/models/{model}/ready"


class Contender(msgspec.Struct, frozen=True):
    """A server. `{port}`, `{port2}`, `{port3}` in its command and environment are free ports.

    `{model}` in `path` and `ready` is a model's name; the latter answers 200 once that is served.
    `answering`: a word in the command line of the processes that answer requests; else all do.
    """

    name: str
    dialect: Dialect
    path: str
    ready: str
    command: Sequence[str]
    environment: dict[str, str] = {}
    key: str = ""
    answering: str = ""
    version: str = ""


def bare(graphs: Path) -> Contender:
    """The reference handler."""
    command = [sys.executable, "-m", "bench.bare", str(graphs), "{port}"]
    return Contender(BARE, Dialect.V2, _V2, "/readyz", command)


def modelyard(home: Path, key: str, gateways: int = 1) -> Contender:
    """Modelyard as it ships, on a home that has the models."""
    command = [sys.executable, "-m", "modelyard", "up", "--port", "{port}", "--home", str(home)]
    return Contender(
        OURS,
        Dialect.V2,
        _V2,
        _V2_READY,
        [*command, "--workers", str(gateways)],
        {"MODELYARD_GRPC_PORT": "{port2}"},
        key=key,
        answering="gateway",
    )


def peers(graphs: Path, scratch: Path) -> dict[str, Callable[[], Contender]]:
    """What makes each peer ready to start, by its short name: this may install it first."""
    known = {"MODELYARD_BENCH_MODELS": str(graphs), "PYTHONPATH": str(ROOT)}
    return {
        "fastapi": lambda: _fastapi(known),
        "mlserver": lambda: _mlserver(known, scratch, MLSERVER, workers=1),
        "mlserver-inprocess": lambda: _mlserver(
            known, scratch, f"{MLSERVER}, no worker process", workers=0
        ),
        "litserve": lambda: _litserve(known),
        "bentoml": lambda: _bentoml(known, scratch),
        "triton": lambda: _triton(known),
    }


TITLES: Final = {
    "fastapi": "FastAPI",
    "mlserver": MLSERVER,
    "mlserver-inprocess": f"{MLSERVER}, no worker process",
    "litserve": LITSERVE,
    "bentoml": "BentoML",
    "triton": TRITON,
}


def _fastapi(known: dict[str, str]) -> Contender:
    folder = environment("fastapi")
    command = [str(folder / "bin/uvicorn"), "bench.peers.fastapi:app", "--port", "{port}"]
    return Contender(
        TITLES["fastapi"],
        Dialect.INSTANCES,
        "/predict/{model}",
        "/openapi.json",
        [*command, "--no-access-log", "--log-level", "warning"],
        known,
        version=versions(folder, "fastapi"),
    )


def _mlserver(known: dict[str, str], scratch: Path, name: str, workers: int) -> Contender:
    folder = environment("mlserver")
    settings = scratch / f"mlserver{workers}"
    prepare = "mkdir -p $1 && $2 -m bench.peers.mlserver $1 && exec $3 start $1"
    return Contender(
        name,
        Dialect.V2_JSON,
        _V2,
        _V2_READY,
        [
            *("sh", "-c", f"rm -rf $1 && {prepare}", "sh", str(settings)),
            *(str(folder / "bin/python"), str(folder / "bin/mlserver")),
        ],
        {
            **known,
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{port2}",
            "MLSERVER_METRICS_PORT": "{port3}",
            "MLSERVER_PARALLEL_WORKERS": str(workers),
            "MLSERVER_DEBUG": "false",
        },
        version=versions(folder, "mlserver"),
    )


def _litserve(known: dict[str, str]) -> Contender:
    folder = environment("litserve")
    return Contender(
        LITSERVE,
        Dialect.INSTANCES,
        "/{model}",
        "/health",
        [str(folder / "bin/python"), "-m", "bench.peers.litserve", "{port}"],
        known,
        version=versions(folder, "litserve"),
    )


def _bentoml(known: dict[str, str], scratch: Path) -> Contender:
    folder = environment("bentoml")
    command = [str(folder / "bin/bentoml"), "serve", "bench.peers.bentoml:Models"]
    return Contender(
        TITLES["bentoml"],
        Dialect.X,
        "/{model}",
        "/readyz",
        [*command, "--port", "{port}", "--host", "127.0.0.1"],
        {**known, "BENTOML_HOME": str(scratch / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"},
        version=versions(folder, "bentoml"),
    )


def _triton(known: dict[str, str]) -> Contender:
    folder = environment("triton")
    path = f"{ROOT / 'bench/peers/triton_path'}:{ROOT}"
    ports = ["{port}", "{port2}", "{port3}"]
    return Contender(
        TRITON,
        Dialect.V2,
        _V2,
        _V2_READY,
        [str(folder / "bin/python"), "-m", "bench.peers.triton", *ports],
        # Its own interpreter links to the library of the one that runs here.
        {**known, "PYTHONPATH": path, "LD_LIBRARY_PATH": f"{sys.base_prefix}/lib"},
        version=versions(folder, "nvidia_pytriton"),
    )
