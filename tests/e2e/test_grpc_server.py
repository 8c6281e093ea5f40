"""The gRPC port of a whole server: who listens, how it ends, and how it is left out."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import psutil

from modelyard.api.grpc.generated import inference_pb2 as messages
from modelyard.api.grpc.service import SERVICE
from modelyard_client import Client
from tests.e2e import graphs
from tests.e2e.calls import serve
from tests.e2e.conftest import Server, kill_server, start_server, stop_server


def call(server: Server, method: str, message: bytes = b"", timeout: float = 60) -> bytes:
    # A channel would share its connection with others to the same server.
    options = [("grpc.use_local_subchannel_pool", 1)]
    key = (("authorization", f"Bearer {server.admin_key}"),)
    with grpc.insecure_channel(server.grpc_url, options=options) as channel:
        calls: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(SERVICE + method)
        return calls(message, metadata=key, timeout=timeout)


def turns(count: int) -> bytes:
    request = messages.ModelInferRequest(model_name="turns")
    given = request.inputs.add(name="turns", datatype="INT64", shape=[1])
    given.contents.int64_contents.append(count)
    return request.SerializeToString()


def test_every_gateway_listens_and_all_end_in_order(tmp_path: Path) -> None:
    server = start_server(tmp_path / "home", "--workers", "2")
    try:
        port = int(server.grpc_url.rpartition(":")[2])
        gateways = [
            child
            for child in psutil.Process(server.process.pid).children()
            if "gateway" in child.cmdline()
        ]
        end = time.monotonic() + 20
        while not all(_listens(gateway, port) for gateway in gateways):
            assert time.monotonic() < end, "a gateway does not listen"
            time.sleep(0.05)
        assert len(gateways) == 2
        with Client(server.url, server.admin_key) as client:
            serve(client, "turns", graphs.slow(tmp_path / "slow.onnx"))
        for _ in range(8):
            assert messages.ServerReadyResponse.FromString(call(server, "ServerReady")).ready
        answers: list[bytes] = []
        calling = threading.Thread(
            target=lambda: answers.append(call(server, "ModelInfer", turns(1500)))
        )
        calling.start()
        time.sleep(0.3)
        assert not answers, "the call was over before the server was asked to stop"
        assert stop_server(server.process) == 0
        calling.join(30)
        assert messages.ModelInferResponse.FromString(answers[0]).model_name == "turns"
    finally:
        kill_server(server.process)


def test_none_is_served_where_none_is_wanted(tmp_path: Path) -> None:
    server = start_server(tmp_path / "home", "--grpc-port", "-1", "--workers", "1")
    try:
        assert server.grpc_url == ""
        assert stop_server(server.process) == 0
    finally:
        kill_server(server.process)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = ("--port", "0", "--grpc-port", port)
        ended = subprocess.run(
            [sys.executable, "-m", "modelyard", "up", *ports, "--home", str(tmp_path / "home")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.stderr
    assert "set 'grpc_port' to another" in ended.stderr
    assert "Traceback" not in ended.stderr
    # A first start that fails has made no key, and will show it the next time.
    assert not (tmp_path / "home" / "admin.key").exists()


def test_a_database_that_cannot_be_used_is_told_with_its_reason(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/missing/modelyard.db"
    ended = subprocess.run(
        [sys.executable, "-m", "modelyard", "up", "--port", "0", "--grpc-port", "-1"],
        env={**os.environ, "MODELYARD_HOME": str(tmp_path), "MODELYARD_DATABASE_URL": database},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    told = "the database ('database_url') cannot be used: unable to open database file"
    assert told in ended.stderr


def _listens(process: psutil.Process, port: int) -> bool:
    """On loopback, as gRPC has it: an IPv6 socket that speaks IPv4."""
    wanted = [("127.0.0.1", port), ("::ffff:127.0.0.1", port)]
    return any(
        each.status == psutil.CONN_LISTEN and each.laddr in wanted
        for each in process.net_connections("tcp")
    )
