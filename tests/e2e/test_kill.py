"""Nothing that was acknowledged is lost by killing any process at any moment.

`MODELYARD_TEST_KILLS` says how many are killed, `MODELYARD_TEST_SEED` which.
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
import pytest

from modelyard_client import Client
from tests.e2e import graphs, processes
from tests.e2e.calls import Answer, Caller, serve
from tests.e2e.conftest import Server, kill_server, start_server, stop_server

KILLS = int(os.environ.get("MODELYARD_TEST_KILLS", "15"))
SEED = int(os.environ.get("MODELYARD_TEST_SEED", "0")) or random.randrange(1, 1 << 30)
WORKLOAD = ("key", "key", "key", "dataset", "import", "alias", "alias", "deployment", "job")
MOST_JOBS = 6


class Clients:
    """Two threads that write and infer, and note what was acknowledged.

    `maybe` holds what was asked for without an answer: it may have happened, at most once.
    """

    def __init__(self, server: Server, infer_key: str, folder: Path) -> None:
        self.server = server
        self.acked: dict[str, list[Any]] = {kind: [] for kind in {*WORKLOAD, "inference"}}
        self.maybe: dict[str, list[Any]] = {kind: [] for kind in {*WORKLOAD, "inference"}}
        self.wrong: list[str] = []
        self.statuses: Counter[int] = Counter()
        self._infer_key = infer_key
        self._folder = folder
        self._random = random.Random(SEED)
        self._order: list[str] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._go, args=(self._write,), name="writer"),
            threading.Thread(target=self._go, args=(self._infer,), name="inferrer"),
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def progress(self) -> tuple[int, int]:
        """How many writes and inferences were acknowledged."""
        inferences = len(self.acked["inference"])
        return sum(map(len, self.acked.values())) - inferences, inferences

    def _go(self, act: Callable[[int], None]) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            try:
                act(number)
            except (OSError, HTTPException):
                time.sleep(0.05)
            except Exception as error:
                self.wrong.append(f"{threading.current_thread().name}: {error!r}")
                raise

    def _infer(self, number: int) -> None:
        with Caller(self.server.url, self._infer_key) as call:
            for _ in range(20):
                self._note("inference", None, lambda: call.infer("steady", x=[[number, 1]]))

    def _write(self, number: int) -> None:
        # Round and round in a new order, so that no kind is left out for long.
        if number % len(WORKLOAD) == 1:
            self._order = self._random.sample(WORKLOAD, len(WORKLOAD))
        kind = self._order[number % len(WORKLOAD)]
        if kind == "job" and len(self.acked["job"]) + len(self.maybe["job"]) >= MOST_JOBS:
            kind = "key"
        with Caller(self.server.url, self.server.admin_key) as call:
            getattr(self, f"_write_{kind}")(call, number)

    def _write_key(self, call: Caller, number: int) -> None:
        name = f"k-{number}"
        body = {"name": name, "scope": "infer"}
        self._note("key", name, lambda: call("POST", "/api/v1/keys", body))

    def _write_dataset(self, call: Caller, number: int) -> None:
        content = f"a,b\n{number},1\n{number},2\n".encode()
        digest = self._upload(call, content)
        name = f"d-{number}"
        body = {"name": name, "upload": digest, "filename": "t.csv"}
        self._note("dataset", (name, digest), lambda: call("POST", "/api/v1/datasets", body))

    def _write_import(self, call: Caller, number: int) -> None:
        path = graphs.scaled(self._folder / f"{number}.onnx", number)
        digest = self._upload(call, path.read_bytes())
        body = {"upload": digest, "filename": path.name}
        self._note("import", digest, lambda: call("POST", "/api/v1/models/many/versions", body))

    def _write_alias(self, call: Caller, number: int) -> None:
        path, version = "/api/v1/models/steady/aliases/moved", number % 2 + 1
        self._note("alias", (number, version), lambda: call("PUT", path, {"version": version}))

    def _write_deployment(self, call: Caller, number: int) -> None:
        name, model = f"dep-{number % 3}", f"steady:{self._random.choice((1, 2))}"
        path = f"/api/v1/deployments/{name}"
        self._note("deployment", (number, name, model), lambda: call("PUT", path, {"model": model}))

    def _write_job(self, call: Caller, number: int) -> None:
        spec = {
            "model": f"trained-{number}",
            "dataset": "rows",
            "target": "y",
            "algorithm": "ridge",
            "folds": 2,
        }
        body = {"kind": "train", "spec": spec}
        self._note("job", spec["model"], lambda: call("POST", "/api/v1/jobs", body))

    def _upload(self, call: Caller, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        answer = call("PUT", f"/api/v1/uploads/{digest}", content)
        if answer.status >= 300:
            self._check(answer)
            raise ConnectionError("the file was not kept")
        return digest

    def _note(self, kind: str, item: Any, send: Callable[[], Answer]) -> None:
        try:
            answer = send()
        except ConnectionRefusedError:
            raise
        except (OSError, HTTPException):
            self.maybe[kind].append(item)
            raise
        if answer.status < 300:
            self.acked[kind].append(item if item is not None else answer.headers["x-request-id"])
        else:
            # A process was killed halfway: its client cannot know what became of it.
            self.maybe[kind].append(item)
            self._check(answer)

    def _check(self, answer: Answer) -> None:
        """An answer is good, or 503 with the word when to come back."""
        self.statuses[answer.status] += 1
        if answer.status == 503:
            assert int(answer.headers["retry-after"]) >= 1
            time.sleep(0.1)
        elif answer.status >= 300:
            self.wrong.append(f"{answer.status} {answer.body[:300]!r}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.mark.slow
@pytest.mark.timeout(120 + 12 * KILLS)
def test_what_was_acknowledged_is_there_exactly_once(home: Path, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    server = start_server(home, "--workers", "2")
    try:
        key = _prepare(server, tmp_path)
        with Clients(server, key.key, tmp_path) as clients:
            for number in range(KILLS):
                clients.server = server = _kill_one(
                    server, clients, chance, last=number == KILLS - 1
                )
        assert clients.wrong == [], clients.acked
        kill_server(server.process)
        server = start_server(home, "--workers", "2")
        _check_control_plane(server, clients)
        _check_usage(server, clients, key.id)
        assert stop_server(server.process) == 0
    finally:
        kill_server(server.process)
    print(  # noqa: T201 - shown when it fails, or with -s
        f"seed {SEED}: {KILLS} kills; acknowledged "
        f"{ {kind: len(items) for kind, items in clients.acked.items()} }, without answer "
        f"{ {kind: len(items) for kind, items in clients.maybe.items()} }, {clients.statuses}"
    )
    assert all(clients.acked.values()), clients.acked.keys()
    _check_files(home, clients, key.id)


def _prepare(server: Server, folder: Path) -> Any:
    """Two versions of a model that serves, rows to train on, and a key for inference."""
    rows = folder / "rows.csv"
    rows.write_text("x,y\n" + "".join(f"{x},{3 * x % 7}\n" for x in range(60)))
    with Client(server.url, server.admin_key) as client:
        client.models.import_model("steady", graphs.scaled(folder / "one.onnx", 0.25))
        serve(client, "steady", graphs.scaled(folder / "two.onnx", 0.75))
        client.datasets.add("rows", rows)
        return client.keys.create("inferrer")


def _kill_one(server: Server, clients: Clients, chance: random.Random, *, last: bool) -> Server:
    """Kill one process, and start the server again if that was its supervisor."""
    writes, inferences = clients.progress

    def served() -> bool:
        assert clients.wrong == []
        now = clients.progress
        return now[0] >= writes + 2 and now[1] >= inferences + 5

    processes.wait_until(served, 60, "the server answers again")
    time.sleep(chance.uniform(0.05, 0.5))
    kind = "supervisor" if last else chance.choice(("supervisor", *processes.KINDS))
    victims = [] if kind == "supervisor" else processes.of_kind(server.process.pid, kind)
    if victims:
        victim = chance.choice(victims)
        # A task may have ended just now.
        with suppress(psutil.NoSuchProcess):
            victim.kill()
        return server
    kill_server(server.process)
    return start_server(server.home, "--workers", "2")


def _check_control_plane(server: Server, clients: Clients) -> None:
    """Each acknowledged write is there once, and nothing is there that nobody asked for."""
    acked, maybe = clients.acked, clients.maybe
    with Client(server.url, server.admin_key) as client:
        _check_items(acked["key"], maybe["key"], [k.name for k in client.keys.list(100_000)])
        datasets = client.datasets.list(100_000)
        assert all(dataset.latest == 1 for dataset in datasets)
        found = [(d.name, client.datasets.version(d.name).digest) for d in datasets]
        _check_items(acked["dataset"], maybe["dataset"], found, others={"rows"})
        versions = client.models.versions("many", 100_000)
        assert sorted(v.number for v in versions) == list(range(1, len(versions) + 1))
        digests = [version.artifacts[0].digest for version in versions]
        _check_items(acked["import"], maybe["import"], digests)
        alias = {a.name: a.version for a in client.models.aliases("steady")}["moved"]
        assert alias in _last(acked["alias"], maybe["alias"])
        for name in ("dep-0", "dep-1", "dep-2"):
            mine = [[e for e in side["deployment"] if e[1] == name] for side in (acked, maybe)]
            if mine[0]:
                assert client.deployments.get(name).spec.model in _last(*mine)
        jobs = client.jobs.list(100_000)
        _check_items(acked["job"], maybe["job"], [job.spec["model"] for job in jobs])
        # Each kill of a worker costs its lease's time.
        processes.wait_until(
            lambda: all(job.final for job in client.jobs.list(100_000)), 90, "all jobs end"
        )
        for job in client.jobs.list(100_000):
            assert job.state in ("succeeded", "dead"), job
            if job.state == "succeeded":
                assert len(client.models.versions(job.spec["model"])) == 1


def _check_items(
    acked: list[Any], maybe: list[Any], found: list[Any], others: set[str] | None = None
) -> None:
    counts = Counter(found)
    assert {item: counts[item] for item in acked if counts[item] != 1} == {}
    surplus = {item for item in counts if item not in {*acked, *maybe}}
    known = (others or set()) | {"operator", "inferrer"}
    assert {i for i in surplus if (i[0] if isinstance(i, tuple) else i) not in known} == set()
    assert all(counts[item] <= 1 for item in maybe)


def _last(acked: list[Any], maybe: list[Any]) -> set[Any]:
    """The values that may be in force: the last acknowledged, or any asked for after it."""
    newest = max(acked)
    return {newest[-1]} | {each[-1] for each in maybe if each[0] > newest[0]}


def _check_usage(server: Server, clients: Clients, key_id: str) -> None:
    acked = len(clients.acked["inference"])
    most = acked + len(clients.maybe["inference"])
    with Client(server.url, server.admin_key) as client:

        def recorded() -> int:
            lines = {line.group: line.requests for line in client.usage.report(by="key")}
            return lines.get(key_id, 0)

        processes.wait_until(lambda: recorded() >= acked, 20, "the usage is ingested")
        assert acked <= recorded() <= most


def _check_files(home: Path, clients: Clients, key_id: str) -> None:
    """The server is down: database and folders as it left them."""
    for folder in ("scratch", "uploads", "blobs/incoming"):
        assert list((home / folder).iterdir()) == [], folder
    with sqlite3.connect(home / "modelyard.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = database.execute(
            "SELECT request_id, count(*) FROM usage_events WHERE key_id = ? GROUP BY 1", [key_id]
        ).fetchall()
    database.close()
    recorded = dict(rows)
    assert set(recorded.values()) == {1}
    assert set(clients.acked["inference"]) <= recorded.keys()
    assert len(set(clients.acked["inference"])) == len(clients.acked["inference"])
