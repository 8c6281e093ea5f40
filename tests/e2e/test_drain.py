"""A server that is asked to stop finishes what it has begun."""

from __future__ import annotations

import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from modelyard_client import Client
from tests.e2e import graphs
from tests.e2e.calls import Answer, Caller, serve
from tests.e2e.conftest import Server, kill_server, start_server, stop_server
from tests.e2e.processes import wait_until

DRAIN_DELAY = 1.0
SLOW = 1.5
"""About so many seconds takes the request in flight."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A home with the slow model deployed, and the turns that take it `SLOW` seconds."""
    folder = tmp_path_factory.mktemp("drain")
    server = start_server(folder / "home", "--workers", "1")
    try:
        with Client(server.url, server.admin_key) as client:
            serve(client, "slow", graphs.slow(folder / "slow.onnx"))
            serve(client, "quick", graphs.scaled(folder / "scaled.onnx", 2))
        with Caller(server.url, server.admin_key) as call:
            began = time.perf_counter()
            assert call.infer("slow", turns=[200]).json()["outputs"][0]["data"] == [200]
            turns = int(200 * SLOW / (time.perf_counter() - began))
    finally:
        code = stop_server(server.process)
    assert code == 0
    return server.home, turns


@pytest.fixture
def server(prepared: tuple[Path, int]) -> Iterator[Server]:
    started = start_server(prepared[0], "--workers", "1", MODELYARD_DRAIN_DELAY=str(DRAIN_DELAY))
    yield started
    kill_server(started.process)


@pytest.fixture
def in_flight(server: Server, prepared: tuple[Path, int]) -> Iterator[Future[Answer]]:
    """A slow request that the gateway is at work on."""
    with ThreadPoolExecutor(1) as pool, Caller(server.url, server.admin_key) as call:
        call("GET", "/v2/models/slow")  # the connection is accepted by now
        future = pool.submit(call.infer, "slow", turns=[prepared[1]])
        time.sleep(0.2)
        assert not future.done()
        yield future


def test_what_is_in_flight_finishes_and_new_requests_are_answered_for_a_while(
    server: Server, in_flight: Future[Answer]
) -> None:
    with Caller(server.url, server.admin_key) as kept:
        assert kept("GET", "/readyz").status == 200
        server.process.send_signal(signal.SIGTERM)
        stopped = time.monotonic()
        wait_until(lambda: kept("GET", "/readyz").status == 503, 0.5, "readiness is gone")
        assert kept("GET", "/livez").status == 200
        assert kept.infer("quick", x=[[1, 2]]).status == 200
        # New connections too, until the delay is over.
        answered = 0
        while time.monotonic() < stopped + DRAIN_DELAY - 0.3:
            with Caller(server.url, server.admin_key) as fresh:
                assert fresh("GET", "/livez").status == 200
                assert fresh.infer("quick", x=[[1, 2]]).status == 200
                answered += 1
            time.sleep(0.05)
    assert answered >= 3
    answer = in_flight.result(timeout=20)
    assert answer.status == 200
    assert server.process.wait(20) == 0
    assert answer.headers["x-request-id"] in _recorded(server.home)
    assert not (server.home / "server.json").exists()


def test_a_second_signal_stops_at_once(server: Server, in_flight: Future[Answer]) -> None:
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    server.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert server.process.wait(20) == 0
    assert time.monotonic() - began < SLOW
    with pytest.raises((OSError, HTTPException)):
        in_flight.result(timeout=5)


def test_clients_that_hold_on_do_not_hold_it_up(server: Server) -> None:
    """Idle kept connections, one that never says anything, and a stream of a job's events."""
    parts = urlsplit(server.url)
    silent = socket.create_connection((parts.hostname, parts.port))
    kept = Caller(server.url, server.admin_key)
    kept("GET", "/livez")
    half = socket.create_connection((parts.hostname, parts.port))
    half.sendall(b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Le")
    try:
        began = time.monotonic()
        assert stop_server(server.process) == 0
        # About a second more than the delay on a quiet machine; far less than what is in flight
        # may take.
        assert time.monotonic() - began < DRAIN_DELAY + 10
    finally:
        for each in (silent, kept, half):
            each.close()


def _recorded(home: Path) -> set[str]:
    with sqlite3.connect(home / "modelyard.db") as database:
        found = {row[0] for row in database.execute("SELECT request_id FROM usage_events")}
    database.close()
    return found
