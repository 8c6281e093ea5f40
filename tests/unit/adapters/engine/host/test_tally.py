from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.adapters.engine.host.messages import ReplicaKey, ReplicaSpec
from modelyard.adapters.engine.host.replica import Cause, Replica
from modelyard.adapters.engine.host.tally import Tally
from modelyard.core.tensors import Signature
from modelyard.core.trust import Trust
from modelyard.serving.replica.counts import read_counts

SPEC = ReplicaSpec(
    ReplicaKey("dep_1", "ver_1"),
    tenant_id="tnt_1",
    name="churn",
    model="churn",
    version=3,
    format="onnx",
    trust=Trust.INLINE,
    files=(),
    signature=Signature((), ()),
)


@pytest.mark.asyncio
async def test_counters_go_on_where_an_earlier_host_was_killed(tmp_path: Path) -> None:
    def ignore(*_: object) -> None:
        pass

    replica = Replica("rep_1", SPEC, 100, on_loaded=ignore, on_gone=ignore)
    first = Tally(tmp_path, 1000)
    first.started(replica, 0.5)
    first.write([replica])
    second = Tally(tmp_path, 2000)
    second.started(replica, 0.25)
    second.ended(replica, Cause.DIED)
    second.ended(replica, Cause.DIED)
    second.write([])
    counts = read_counts(tmp_path)
    assert counts is not None
    assert counts.budget_bytes == 2000
    (row,) = counts.rows
    assert (row.starts, row.start_seconds, row.ends) == (2, 0.75, {"died": 2})
    assert (row.states, row.memory_bytes) == ({}, 0)


@pytest.mark.asyncio
async def test_states_and_memory_are_those_of_now(tmp_path: Path) -> None:
    def ignore(*_: object) -> None:
        pass

    replicas = [
        Replica(f"rep_{at}", SPEC, 100, on_loaded=ignore, on_gone=ignore) for at in range(3)
    ]
    replicas[0].draining = Cause.IDLE
    tally = Tally(tmp_path, 1000)
    for _ in range(2):
        tally.write(replicas)
    counts = read_counts(tmp_path)
    assert counts is not None
    assert counts.rows[0].states == {"draining": 1, "loading": 2}
    assert counts.rows[0].memory_bytes == 300
