"""The clients' own log, the ledger and the invoices agree to the unit, whatever is killed.

Clients of three tenants send thousands of requests of all kinds over HTTP while processes are
killed. A client knows what became of each request that was answered to its end, by the id in the
answer's head; of one that was not, it knows only that it was sent. So for each key:

- every answer that the client has is in the ledger once, with the status, rows and tokens that it
  was told;
- what the ledger has beside those is no more than what the client had no answer to;
- a stream that its client left is there, with what came of it, unless its gateway was killed, too.

`MODELYARD_TEST_REQUESTS` says how many requests, `MODELYARD_TEST_SEED` which.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from modelyard.adapters.store import open_store, sqlite_url
from modelyard.billing.invoice import Invoice
from modelyard.billing.invoicing import InvoicingService
from modelyard.core.clock import ManualClock
from modelyard_client import Client, Upstream
from modelyard_client.deployments import ReplicaOptions, ServingOptions
from modelyard_client.keys import NewKey
from tests import upstreams
from tests.e2e import graphs, processes
from tests.e2e.calls import Answer, Caller, serve
from tests.e2e.conftest import Server, kill_server, start_server, stop_server
from tests.e2e.streams import Stream

REQUESTS = int(os.environ.get("MODELYARD_TEST_REQUESTS", "10000"))
SEED = int(os.environ.get("MODELYARD_TEST_SEED", "0")) or random.randrange(1, 1 << 30)
KILLS = ("gateway", "runtimes", "controller", "gateway")
"""What is killed in turn, evenly over the requests."""
SETTLE = 3.0
"""Seconds within which a gateway's death may take with it the record of a stream that was left."""
PIECES = 12
TOKENS = ("input_token", "cached_token", "output_token")


class Recorded(NamedTuple):
    """One row of the ledger."""

    status: int
    rows: int
    tokens: int


class Log:
    """What one client knows. `told` holds requests that were answered to their end, `left` streams
    that it left with how many tokens had come and when, `silent` counts the others.
    """

    def __init__(self, name: str, key: str) -> None:
        self.name = name
        self.key = key
        self.told: dict[str, Recorded] = {}
        self.left: dict[str, tuple[int, float]] = {}
        self.silent = 0
        self.statuses: Counter[int] = Counter()


class Run:
    """All clients, until they have sent so many requests together."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.logs: list[Log] = []
        self.sent = 0
        self.killed_at: list[float] = []
        self.wrong: list[str] = []
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def add(self, made: NewKey, act: Callable[[Run, Log, random.Random], None]) -> None:
        """A client with a key of its own, which acts again and again."""
        log, chance = Log(made.name, made.key), random.Random(f"{SEED} {len(self.logs)}")
        self.logs.append(log)
        self._threads.append(threading.Thread(target=self._go, args=(act, log, chance)))

    def go(self) -> None:
        """Until all is sent; processes are killed meanwhile."""
        for thread in self._threads:
            thread.start()
        marks = [REQUESTS * (n + 1) // (2 * len(KILLS) + 1) for n in range(2 * len(KILLS))]
        for number, mark in enumerate(marks):
            processes.wait_until(partial(self._reached, mark), 120, f"{mark} requests")
            self._kill(KILLS[number % len(KILLS)], number)
        for thread in self._threads:
            thread.join()
        assert self.wrong == []

    def _reached(self, mark: int) -> bool:
        return self.sent >= mark

    def claim(self) -> bool:
        """Whether there is one more to be sent."""
        with self._lock:
            self.sent += 1
            return self.sent <= REQUESTS

    def _go(
        self, act: Callable[[Run, Log, random.Random], None], log: Log, chance: random.Random
    ) -> None:
        while self.sent < REQUESTS:
            try:
                act(self, log, chance)
            except (OSError, HTTPException):
                time.sleep(0.05)
            except Exception as error:
                self.wrong.append(repr(error))
                raise

    def _kill(self, kind: str, number: int) -> None:
        victims = processes.of_kind(self.server.process.pid, kind)
        if victims:
            if kind == "gateway":
                self.killed_at.append(time.monotonic())
            with suppress(psutil.NoSuchProcess):
                victims[number % len(victims)].kill()


def calls(*deployments: str) -> Callable[[Run, Log, random.Random], None]:
    """A client of tensor models: single rows, batches, requests that do not fit, and others that
    name nothing; what breaks off it sends again, which is another request.
    """

    def act(run: Run, log: Log, chance: random.Random) -> None:
        with Caller(run.server.url, log.key) as call:
            while run.claim():
                name, kind = chance.choice(deployments), chance.random()
                rows = chance.randint(2, 40) if kind > 0.88 else 1
                # Each its own: a request that was there at two deaths of its model is refused.
                data: list[Any] = [[chance.random(), 2.0] for _ in range(rows)]
                if kind < 0.06:
                    data, rows = [["no", "number"]], 0
                if kind < 0.01:
                    name = "nothing-of-this-name"
                try:
                    answer = call.infer(name, x=data)
                except ConnectionRefusedError:
                    raise
                except (OSError, HTTPException):
                    log.silent += 1
                    raise
                _note(log, answer, rows)

    return act


def _note(log: Log, answer: Answer, rows: int, tokens: int = 0) -> None:
    log.statuses[answer.status] += 1
    if answer.status == 200:
        log.told[answer.headers["x-request-id"]] = Recorded(200, rows, tokens)
    elif answer.status in (400, 422, 502):
        log.told[answer.headers["x-request-id"]] = Recorded(answer.status, 0, 0)
    elif answer.status == 503:
        # Some are recorded and some not, by where they were refused; none of them costs anything.
        log.silent += 1
        time.sleep(0.05)
    else:
        # Nothing of this name: no record.
        assert answer.status == 404, answer


def streams(run: Run, log: Log, chance: random.Random) -> None:
    """A client that listens to the end, or leaves after a few words: politely, or not."""
    time.sleep(0.01)
    if not run.claim():
        return
    words = chance.randint(1, PIECES - 4) if chance.random() < 0.4 else None
    with Stream(run.server.url, log.key, "talk", stream_options={"include_usage": True}) as stream:
        try:
            stream.read(words)
        except OSError:
            log.silent += 1
            raise
        log.statuses[stream.status] += 1
        if stream.status != 200 or stream.error or (stream.over and not stream.whole):
            # Also one that was cut off behind its last word: its end comes once it is recorded.
            log.silent += 1
        elif stream.whole:
            log.told[stream.request_id] = Recorded(200, 1, PIECES)
        else:
            log.left[stream.request_id] = (stream.tokens, time.monotonic())
            stream.leave() if chance.random() < 0.5 else stream.reset()


def failures(run: Run, log: Log, _: random.Random) -> None:
    """A client of a model whose provider fails."""
    time.sleep(0.03)
    if not run.claim():
        return
    with Caller(run.server.url, log.key) as call:
        body = {"model": "broken", "messages": [{"role": "user", "content": "hello"}]}
        try:
            answer = call("POST", "/v1/chat/completions", body)
        except (OSError, HTTPException):
            log.silent += 1
            raise
        if answer.status == 503 and b"provider" in answer.body:
            log.statuses[503] += 1
            log.told[answer.headers["x-request-id"]] = Recorded(503, 0, 0)
        else:
            _note(log, answer, 0)


async def _talk(
    _: upstreams.Upstream, __: upstreams.Received, writer: asyncio.StreamWriter
) -> None:
    await upstreams.begin(writer)
    for _number in range(PIECES):
        await upstreams.part(writer, upstreams.event(upstreams.delta(content="word ")))
        await asyncio.sleep(0.005)
    await upstreams.part(writer, upstreams.event(upstreams.delta(reason="stop")))
    usage = {"prompt_tokens": 11, "completion_tokens": PIECES}
    await upstreams.part(writer, upstreams.event({"choices": [], "usage": usage}))
    await upstreams.part(writer, b"data: [DONE]\n\n")
    await upstreams.part(writer, b"")


@pytest.fixture
def provider() -> Iterator[upstreams.Upstream]:
    reactions = {"talk": _talk, "broken": upstreams.answers(500, {"error": {"message": "no"}})}
    with upstreams.Upstream(reactions) as started:
        yield started


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_log_ledger_and_invoices_agree(tmp_path: Path, provider: upstreams.Upstream) -> None:
    environ = {"MODELYARD_PROVIDER_ALLOW": "127.0.0.0/8"}
    server = start_server(tmp_path / "home", "--workers", "2", **environ)
    try:
        run = Run(server)
        _prepare(server, tmp_path, provider, run)
        run.go()
        # A gateway that stops writes down what it has, and the controller takes it in.
        assert stop_server(server.process) == 0
    finally:
        kill_server(server.process)
    print(f"seed {SEED}:", [log.statuses for log in run.logs])  # noqa: T201 - shown when it fails
    ledger = _ledger(server.home)
    for log in run.logs:
        _compare(run, log, ledger[log.name])
    _compare_invoices(server.home)


def _prepare(server: Server, folder: Path, provider: upstreams.Upstream, run: Run) -> None:
    """A publisher, a consumer that subscribes, and the operator's tenant with models of others."""
    graph = graphs.scaled(folder / "scaled.onnx", 2)
    with Client(server.url, server.admin_key) as operator:
        operator.tenants.create("acme")
        operator.tenants.create("globex")
        operator.providers.put("cloud", provider.url, api_key="sk-secret-of-the-provider")
        for name in ("talk", "broken"):
            operator.models.link(name, [Upstream("cloud", name)], capabilities=("chat",))
            operator.deployments.put(name, name)
            operator.deployments.wait_ready(name)
        operator.prices.set("talk", "token", "0.60", input_amount="0.15")
        run.add(operator.keys.create("listener"), streams)
        run.add(operator.keys.create("unlucky"), failures)
    with Client(server.url, server.admin_key, tenant="acme") as acme:
        serve(acme, "scaled", graph)
        acme.deployments.put("apart", "scaled@live", ServingOptions(replicas=ReplicaOptions(1, 1)))
        acme.deployments.wait_ready("apart")
        acme.prices.set("scaled", "request", "0.001")
        row = {"unit": "row", "tiers": [{"amount": "0.002", "up_to": 500}, {"amount": "0.001"}]}
        acme.prices.set("apart", rates=[row, {"unit": "request", "tiers": [{"amount": "0.01"}]}])
        for name in ("scaled", "apart"):
            acme.catalogue.publish(name)
        run.add(acme.keys.create("own"), calls("scaled", "apart"))
    with Client(server.url, server.admin_key, tenant="globex") as globex:
        for name in ("scaled", "apart"):
            globex.catalogue.subscribe("acme", name, name=f"acme-{name}")
        for name in ("web", "batch", "night"):
            run.add(globex.keys.create(name), calls("acme-scaled", "acme-apart"))


def _ledger(home: Path) -> dict[str, dict[str, Recorded]]:
    """By the key's name and the request's id."""
    found: dict[str, dict[str, Recorded]] = defaultdict(dict)
    with closing(sqlite3.connect(home / "modelyard.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for name, request_id, *row in database.execute(
            "SELECT k.name, request_id, status, rows, completion_tokens "
            "FROM usage_events JOIN api_keys k ON k.id = key_id"
        ):
            found[name][request_id] = Recorded(*row)
    return found


def _compare(run: Run, log: Log, ledger: dict[str, Recorded]) -> None:
    wrong = {key: (told, ledger.get(key)) for key, told in log.told.items()}
    assert {key: pair for key, pair in wrong.items() if pair[0] != pair[1]} == {}
    for request_id, (came, at) in log.left.items():
        row = ledger.get(request_id)
        if row is None:
            assert any(abs(killed - at) < SETTLE for killed in run.killed_at), request_id
        else:
            assert row.status in (200, 499), row
            assert came <= row.tokens <= PIECES
    beside = ledger.keys() - log.told.keys() - log.left.keys()
    assert len(beside) <= log.silent


def _compare_invoices(home: Path) -> None:
    """Each unit of the ledger is on one invoice, and what a publisher earns is what others pay."""
    clock = ManualClock(datetime.now(UTC) + timedelta(days=70))
    store = open_store(sqlite_url(home / "modelyard.db"))
    try:
        invoicing = InvoicingService(store, clock, "USD", "default")
        invoicing.close(timedelta(0))
        with store.read() as tx:
            tenants = {name: tx.tenants().named(name).id for name in ("default", "acme", "globex")}
            invoices = {name: tx.invoices(key).in_force() for name, key in tenants.items()}
        earned = {
            month: invoicing.statement(tenants["acme"], month).total
            for month in {f"{each.document.period.start:%Y-%m}" for each in invoices["globex"]}
        }
    finally:
        store.close()
    with closing(sqlite3.connect(home / "modelyard.db")) as database:
        for name, key in tenants.items():
            assert _on_invoices(invoices[name]) == _in_ledger(database, key), name
    asked = [each.document.subtotal for each in invoices["globex"]]
    assert sum(earned.values(), Decimal(0)) == sum(asked, Decimal(0)) > 0


def _on_invoices(invoices: list[Invoice]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for invoice in invoices:
        for line in invoice.document.lines:
            found[line.charge.deployment, str(line.charge.unit)] += line.charge.quantity
    return found


def _in_ledger(database: sqlite3.Connection, tenant_id: str) -> Counter[tuple[str, str]]:
    """By deployment and the units that it has a price of."""
    found: Counter[tuple[str, str]] = Counter()
    priced = {"scaled": ("request",), "apart": ("request", "row"), "talk": TOKENS}
    for name, *counts in database.execute(
        "SELECT deployment, sum(status < 400), sum(CASE WHEN status < 400 THEN rows ELSE 0 END), "
        "sum(prompt_tokens - cached_tokens), sum(cached_tokens), sum(completion_tokens) "
        "FROM usage_events WHERE tenant_id = ? GROUP BY 1",
        [tenant_id],
    ):
        units = dict(zip(("request", "row", *TOKENS), counts, strict=True))
        for unit in priced.get(name, ()):
            if units[unit]:
                found[name, unit] = units[unit]
    return found
