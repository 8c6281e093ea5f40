"""The servers that `bench.llm` asks: llama.cpp's own, ours, and LiteLLM's proxy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from msgspec.structs import replace

from bench.environments import ROOT, environment
from bench.llamacpp_server import CONTEXT
from bench.streams import SECONDS, Contender, processor
from modelyard.cli.local_server import LocalServer
from modelyard_client import LanguageOptions, ServingOptions

OWN: Final = "llama.cpp's own server"
LLAMACPP, AUTO = "ours, engine llamacpp", "ours, engine auto"
LITELLM: Final = "LiteLLM's proxy before llama.cpp's own server"
_IDLE_SECONDS: Final = 5.0
_PEER_KEY: Final = "sk-bench"


@contextmanager
def own_server(file: Path, streams: int) -> Iterator[Contender]:
    """llama.cpp's own server."""
    command = [sys.executable, "-m", "bench.llamacpp_server", str(file), str(streams)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        yield Contender(OWN, process.stdout.readline().strip(), "smol")
    finally:
        process.kill()
        process.wait()


@contextmanager
def our_server(
    folder: Path, file: Path, embedder: Path, streams: int
) -> Iterator[tuple[Contender, Contender, Contender]]:
    """Ours, by both engines, and with an embedder."""
    server = LocalServer(folder / "home", folder / "server.log")
    try:
        with server.start(SECONDS) as client:
            client.models.import_model("smol", file)
            client.models.import_model("minilm", embedder)
            for name, engine in (("smol-llamacpp", "llamacpp"), ("smol-auto", "auto")):
                language = LanguageOptions(engine, context=CONTEXT, slots=streams)
                client.deployments.put(name, "smol", ServingOptions(language=language))
            client.deployments.put("minilm", "minilm")
            for name in ("smol-llamacpp", "smol-auto", "minilm"):
                client.deployments.wait_ready(name, SECONDS)
            key = client.keys.create("bench", "infer").key
            ours = Contender("", client.url, "", key, _gateways(server.pid))
            yield (
                replace(ours, name=LLAMACPP, model="smol-llamacpp"),
                replace(ours, name=AUTO, model="smol-auto"),
                replace(ours, name="embeddings", model="minilm"),
            )
    finally:
        server.stop()


@contextmanager
def litellm_proxy(folder: Path, upstream: Contender) -> Iterator[Contender]:
    """LiteLLM's proxy, in an environment of its own: the engine is the upstream's."""
    home = environment("litellm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "litellm.json"
    model = {"model": f"openai/{upstream.model}", "api_base": f"{upstream.url}/v1", "api_key": "-"}
    told = {
        "model_list": [{"model_name": "smol", "litellm_params": model}],
        "general_settings": {"master_key": _PEER_KEY},
        "litellm_settings": {"telemetry": False},
    }
    # What is JSON is YAML.
    config.write_text(json.dumps(told), "utf-8")
    command = [str(home / "bin/litellm"), "--config", str(config), "--port", str(port)]
    environ = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
    with (folder / "litellm.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1"], stdout=log, stderr=log, env=environ, cwd=folder
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _await(f"{url}/health/liveliness", process)
        yield Contender(LITELLM, url, "smol", _PEER_KEY, (process.pid, *_children(process.pid)))
    finally:
        process.terminate()
        process.wait(SECONDS)


def with_idle(asked: Contender) -> Contender:
    """The same, with what its gateways use while nobody asks."""
    before = processor(asked.gateways)
    time.sleep(_IDLE_SECONDS)
    return replace(asked, idle=(processor(asked.gateways) - before) / _IDLE_SECONDS)


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + SECONDS
    while True:
        try:
            with urlopen(url, timeout=SECONDS):  # noqa: S310 - an address of our own
                return
        except URLError:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{LITELLM} does not start") from None
            time.sleep(0.2)


def _children(parent: int) -> tuple[int, ...]:
    return tuple(each.pid for each in psutil.Process(parent).children(recursive=True))


def _gateways(supervisor: int) -> tuple[int, ...]:
    """The processes that answer requests."""
    return tuple(
        each.pid
        for each in psutil.Process(supervisor).children(recursive=True)
        if each.status() != psutil.STATUS_ZOMBIE and "gateway" in each.cmdline()
    )
