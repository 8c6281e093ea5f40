"""What a gateway does with more requests than it can answer: `python -m bench.overload`.

For each model the peak is found by a closed loop; then requests arrive at multiples of that rate,
whatever becomes of them. Goodput is what was answered within the deadline.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from bench.arrivals import Arrivals, Fate
from bench.contenders import modelyard
from bench.environments import ROOT
from bench.load import Order, Tally
from bench.machine import machine
from bench.models import FEATURES
from bench.servers import Server, running

DEADLINE: Final = 1.0
COSTS: Final = (0.1, 1.0, 3.0, 20.0)
"""Milliseconds of a call, about; one row a call, so that a call is a request."""

MULTIPLES: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_WIDTH: Final = 512
_SATURATING: Final = 16
_CALM: Final = 2.0
"""Seconds after the load in which all is to be as before."""


class Point(msgspec.Struct):
    """One rate on one model. Memory in bytes, before and at the end of the load."""

    cost: float
    peak: float
    multiple: float
    fate: Fate
    memory_before: int
    memory_after: int
    calm_before: float
    calm_after: float

    @property
    def goodput(self) -> float:
        """As a part of the peak."""
        return self.fate.good / self.fate.seconds / self.peak


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("overload", description="Measure a gateway under overload.")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one run: 10")
    parser.add_argument("--costs", type=_numbers, default=COSTS, help="of a call, in ms")
    parser.add_argument("--multiples", type=_numbers, default=MULTIPLES, help="of the peak rate")
    parser.add_argument("--json", type=Path, default=ROOT / "bench/results/overload.json")
    given = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0))
    points = _measure(given.costs, given.multiples, given.seconds, cores[0], cores[-1])
    about = machine(cores[0], cores[-1], 1, given.seconds, os.getloadavg()[0], {})
    given.json.parent.mkdir(parents=True, exist_ok=True)
    whole = msgspec.json.encode({"machine": about, "points": points})
    given.json.write_bytes(msgspec.json.format(whole) + b"\n")
    print(table(points))


def table(points: Sequence[Point]) -> str:
    """The points as a table in Markdown."""
    lines = [
        "| a call | peak | offered | goodput | good p50, p99 | late | shed | shed p99 "
        "| memory | calm again |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in points:
        fate = each.fate
        lines.append(
            f"| {each.cost:g} ms | {each.peak:,.0f}/s | {each.multiple:g}x "
            f"| {each.goodput:.0%} | {fate.good_p50:.0f}, {fate.good_p99:.0f} ms "
            f"| {fate.late + fate.failed + fate.unsent:,} | {fate.shed:,} "
            f"| {fate.shed_p99:.1f} ms | {each.memory_after / each.memory_before - 1:+.0%} "
            f"| {each.calm_before:.1f} to {each.calm_after:.1f} ms |"
        )
    return "\n".join(lines)


def _measure(
    costs: Sequence[float], multiples: Sequence[float], seconds: float, core: int, load_core: int
) -> list[Point]:
    points = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        key = _make_home(home, Path(folder), costs, core)
        for cost in costs:
            with running(modelyard(home, key), [core], [_name(cost)]) as server:
                peak = _peak(server, cost, min(seconds, 4.0), load_core)
                for multiple in multiples:
                    points.append(_point(server, cost, peak, multiple, seconds, load_core))
                    print(table(points[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    return points


def _point(
    server: Server, cost: float, peak: float, multiple: float, seconds: float, load_core: int
) -> Point:
    before, calm = server.memory().resident, _calm(server, cost)
    order = Arrivals(
        server.port, _path(cost), _headers(server), _body(), peak * multiple, seconds, DEADLINE
    )
    fate = msgspec.json.decode(
        _child("bench.arrivals", msgspec.json.encode(order), load_core), type=Fate
    )
    after = server.memory().resident
    time.sleep(max(0.0, _CALM - DEADLINE - 0.5))
    return Point(cost, peak, multiple, fate, before, after, calm, _calm(server, cost))


def _peak(server: Server, cost: float, seconds: float, load_core: int) -> float:
    order = Order(server.port, _path(cost), _headers(server), _body(), _SATURATING, seconds)
    _child(
        "bench.load", msgspec.json.encode(msgspec.structs.replace(order, seconds=1.0)), load_core
    )
    said = _child("bench.load", msgspec.json.encode(order), load_core)
    tally = msgspec.json.decode(said, type=Tally)
    return tally.answered / tally.seconds


def _calm(server: Server, cost: float) -> float:
    """Milliseconds of a lone request: the median of a few."""
    took = []
    for _ in range(9):
        began = time.perf_counter()
        status, _, _ = server.post(_name(cost), _body(), {**_headers(server)})
        took.append((time.perf_counter() - began) * 1000)
        assert status == 200
    return sorted(took)[len(took) // 2]


def _child(module: str, given: bytes, core: int) -> bytes:
    return subprocess.run(
        ["taskset", "-c", str(core), sys.executable, "-m", module],
        input=given,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def _make_home(home: Path, folder: Path, costs: Sequence[float], core: int) -> str:
    from modelyard_client import Client, ServingOptions

    options = ServingOptions(max_batch_size=1, timeout_ms=round(DEADLINE * 1000))
    with running(modelyard(home, ""), [core]) as server:
        while not (home / "server.json").exists():
            server.alive()
            time.sleep(0.05)
        with Client(f"http://127.0.0.1:{server.port}", (home / "admin.key").read_text()) as client:
            for cost in costs:
                path = folder / f"{_name(cost)}.onnx"
                path.write_bytes(_graph(cost))
                client.models.import_model(_name(cost), path)
                client.deployments.put(_name(cost), _name(cost), options)
                client.deployments.wait_ready(_name(cost))
            return client.keys.create("overload", "infer").key


def _graph(milliseconds: float) -> bytes:
    """As many layers over one matrix as take so long here, one after the other."""
    from modelyard.serving.runtimes.onnx import open_session

    row, trial = {"X": np.zeros((1, FEATURES), np.float32)}, 200
    session = open_session(_chain(trial))
    session.run(None, row)
    began = time.perf_counter()
    for _ in range(5):
        session.run(None, row)
    each = (time.perf_counter() - began) / 5 / trial
    return _chain(max(1, round(milliseconds / 1000 / each)))


def _chain(layers: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)

    def matrix(name: str, into: int, out: int) -> Any:
        values = random.standard_normal((into, out)) / np.sqrt(into)
        return numpy_helper.from_array(values.astype(np.float32), name)

    nodes, last = [helper.make_node("MatMul", ["X", "first"], ["sum0"])], "sum0"
    for layer in range(1, layers + 1):
        nodes.append(helper.make_node("Tanh", [last], [f"active{layer}"]))
        nodes.append(helper.make_node("MatMul", [f"active{layer}", "again"], [f"sum{layer}"]))
        last = f"sum{layer}"
    nodes.append(helper.make_node("ReduceSum", [last], ["y"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "overload",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [matrix("first", FEATURES, _WIDTH), matrix("again", _WIDTH, _WIDTH)],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return bytes(model.SerializeToString())


def _name(cost: float) -> str:
    return f"call-{round(cost * 1000)}us"


def _path(cost: float) -> str:
    return f"/v2/models/{_name(cost)}/infer"


def _headers(server: Server) -> dict[str, str]:
    return {**server.headers, "Content-Type": "application/json"}


def _body() -> bytes:
    row = np.random.default_rng(1).random(FEATURES).astype(np.float32).tolist()
    tensor = {"name": "X", "shape": [1, FEATURES], "datatype": "FP32", "data": row}
    return msgspec.json.encode({"inputs": [tensor]})


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(each) for each in text.split(","))


if __name__ == "__main__":
    main(sys.argv[1:])
