"""A channel to a process of its own, which may be hostile."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.core.errors import Invalid, ModelFailed, NotBegun, ReplicaDied
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.replica import channel as module
from modelyard.serving.replica.channel import Channel, Terms
from tests.replicas import Actors

pytestmark = pytest.mark.asyncio

SIGNATURE = Signature(
    (TensorSpec("x", Datatype.FP32, (-1, 2)),), (TensorSpec("y", Datatype.FP32, (-1, 2)),)
)
TERMS = Terms(SIGNATURE, rowwise=True, patience=30.0, max_answer=8 << 20)
MEGABYTE = np.arange(1 << 18, dtype=np.float32).reshape(-1, 2)


class Ended:
    """Remembers how a channel ended."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.event = asyncio.Event()

    def __call__(self, _: Channel, wrong: str) -> None:
        self.wrong.append(wrong)
        self.event.set()

    async def told(self) -> str:
        await asyncio.wait_for(self.event.wait(), 20)
        (wrong,) = self.wrong
        return wrong


def opened(actors: Actors, behaviour: str, **terms: Any) -> tuple[Channel, Ended]:
    ended = Ended()
    given = {name: terms.get(name, getattr(TERMS, name)) for name in TERMS.__struct_fields__}
    return Channel(actors.start(behaviour), "rep_1", Terms(**given), ended), ended


def x(*values: float) -> dict[str, Tensor]:
    return {"x": np.array([values], np.float32)}


async def asked(
    channel: Channel, inputs: dict[str, Tensor], rows: int = 1, seconds: float = 60.0
) -> dict[str, Tensor]:
    return await asyncio.wait_for(channel.call(inputs, rows, seconds), 20)


async def test_calls_are_answered_one_after_the_other(actors: Actors) -> None:
    channel, ended = opened(actors, "honest")
    for n in range(20):
        answer = await asked(channel, x(n, 1))
        assert answer["y"].tolist() == [[2 * n, 2]]
        assert not channel.busy
    channel.close()
    assert await ended.told() == ""


@pytest.mark.parametrize("rows", [1 << 14, 1 << 15, 1 << 17, 1 << 12])
async def test_tensors_of_any_size_come_back_whole(actors: Actors, rows: int) -> None:
    channel, _ = opened(actors, "honest")
    for factor in (1, 2):
        sent = np.arange(rows * 2 * factor, dtype=np.float32).reshape(-1, 2)
        answer = await asked(channel, {"x": sent}, len(sent))
        np.testing.assert_array_equal(answer["y"], sent * 2)
    channel.close()


async def test_the_answer_out_of_shared_memory_does_not_change_any_more(actors: Actors) -> None:
    channel, _ = opened(actors, "honest")
    first = await asked(channel, {"x": MEGABYTE}, len(MEGABYTE))
    second = await asked(channel, {"x": -MEGABYTE}, len(MEGABYTE))
    np.testing.assert_array_equal(first["y"], MEGABYTE * 2)
    np.testing.assert_array_equal(second["y"], MEGABYTE * -2)
    channel.close()


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("wrong_type", "'y' as FP64, its signature says FP32"),
        ("wrong_shape", r"shape \[1, 2, 1\], its signature says \[-1, 2\]"),
        ("wrong_rows", "2 rows to 1"),
        ("wrong_name", "did not answer with its output 'y'"),
        ("one_too_many", "'z', which is not in its signature"),
        ("nothing", "did not answer with its output 'y'"),
        ("too_many", "1000 tensors are more"),
        ("lying_size", "shape"),
        ("negative_size", "end beyond its payload"),
        ("bad_text", "not UTF-8"),
        ("failing", "the model failed: it broke xxx"),
    ],
)
async def test_a_wrong_answer_fails_its_call_and_no_other(
    actors: Actors, behaviour: str, said: str
) -> None:
    channel, ended = opened(actors, behaviour)
    for _ in range(2):
        with pytest.raises(ModelFailed, match=said) as failed:
            await asked(channel, x(1, 2))
        assert len(failed.value.message) < 1000
        assert failed.value.message.isprintable()
    assert channel.open
    assert ended.wrong == []
    channel.close()


async def test_without_row_by_row_any_number_of_rows_is_right(actors: Actors) -> None:
    channel, _ = opened(actors, "wrong_rows", rowwise=False)
    assert (await asked(channel, x(1, 2)))["y"].tolist() == [[1, 2], [1, 2]]
    channel.close()


async def test_what_the_model_refuses_is_the_inputs_fault(actors: Actors) -> None:
    channel, _ = opened(actors, "refusing")
    with pytest.raises(Invalid, match="no such value"):
        await asked(channel, x(1, 2))
    channel.close()


@pytest.mark.parametrize(
    ("behaviour", "wrong"),
    [
        ("garbage", "over"),
        ("no_message", "no message of ours"),
        ("huge_length", "over"),
        ("endless_parts", "streamed"),
        ("unasked", "not asked"),
        ("unshared", "not shared"),
    ],
)
async def test_a_broken_protocol_ends_the_channel(
    actors: Actors, behaviour: str, wrong: str
) -> None:
    channel, ended = opened(actors, behaviour)
    with pytest.raises(ReplicaDied):
        await asked(channel, x(1, 2))
    assert wrong in await ended.told()
    assert not channel.open


async def test_whoever_goes_on_after_the_answer_is_ended_too(actors: Actors) -> None:
    channel, ended = opened(actors, "endless")
    assert (await asked(channel, x(1, 2)))["y"].tolist() == [[1, 2]]
    assert "not asked" in await ended.told()


async def test_an_answer_beyond_the_shared_memory_is_no_answer(actors: Actors) -> None:
    channel, _ = opened(actors, "beyond_memory", max_answer=1 << 50)
    with pytest.raises(ModelFailed, match="beyond its payload"):
        await asked(channel, {"x": MEGABYTE}, len(MEGABYTE))
    channel.close()
    channel, ended = opened(actors, "beyond_memory")
    with pytest.raises(ReplicaDied):
        await asked(channel, {"x": MEGABYTE}, len(MEGABYTE))
    assert "is over" in await ended.told()


async def test_what_a_large_call_took_is_given_back(actors: Actors) -> None:
    channel, _ = opened(actors, "honest", max_answer=64 << 20)
    large = np.ones((1 << 22, 2), np.float32)
    for factor in (1, 2):
        answer = await asked(channel, {"x": large * factor}, len(large))
        assert answer["y"][-1].tolist() == [2 * factor] * 2
        mapping = _mappings().split("memfd:modelyard")[1]
        resident = next(line for line in mapping.splitlines() if line.startswith("Rss:"))
        assert int(resident.split()[1]) < 1024
    channel.close()


async def test_an_answer_over_the_bound_ends_the_channel(actors: Actors) -> None:
    channel, ended = opened(actors, "honest", max_answer=1000)
    with pytest.raises(ReplicaDied):
        await asked(channel, {"x": np.zeros((1000, 2), np.float32)}, 1000)
    assert "over" in await ended.told()


async def test_patience_with_one_that_never_answers_has_an_end(actors: Actors) -> None:
    channel, ended = opened(actors, "silent", patience=0.1)
    with pytest.raises(ReplicaDied):
        await asked(channel, x(1, 2), seconds=0.01)
    assert await ended.told() == "it did not answer within 0.1 seconds"


async def test_patience_begins_anew_with_each_call(actors: Actors) -> None:
    channel, ended = opened(actors, "slow")
    await asked(channel, x(0, 0))
    call = channel.call(x(0.2, 0), 1, 60)
    # The alarm of the call before goes off.
    channel._lose_patience()
    assert (await call)["y"].tolist() == [[pytest.approx(0.2), 0]]
    assert ended.wrong == []
    channel.close()


async def test_one_that_is_killed_fails_the_call_it_has(actors: Actors) -> None:
    channel, ended = opened(actors, "deadly")
    assert (await asked(channel, x(1, 2)))["y"].tolist() == [[2, 4]]
    with pytest.raises(ReplicaDied):
        await asked(channel, x(666, 2))
    assert await ended.told() == ""


async def test_a_call_that_was_not_sent_whole_has_not_begun(
    actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 0)
    channel, _ = opened(actors, "slow")
    call = channel.call(x(30, 0), 1, 60)
    await asyncio.sleep(0.3)
    channel.cancel(call)
    actors.processes[0].kill()
    with pytest.raises(ReplicaDied):
        await call

    channel, _ = opened(actors, "silent")
    os.kill(actors.processes[1].pid, 19)
    large = channel.call({"x": np.zeros((1 << 20, 2), np.float32)}, 1 << 20, 60)
    await asyncio.sleep(0.1)
    actors.processes[1].kill()
    with pytest.raises(NotBegun):
        await large


async def test_a_replica_that_is_gone_has_begun_nothing(actors: Actors) -> None:
    channel, _ = opened(actors, "honest")
    await asked(channel, x(1, 2))
    actors.processes[0].kill()
    actors.processes[0].wait()
    # The loop has not heard of it yet.
    with pytest.raises(NotBegun):
        await asked(channel, x(1, 2))


async def test_nothing_is_left_of_many_channels(actors: Actors) -> None:
    before = _descriptors()
    for _ in range(3):
        channel, ended = opened(actors, "honest")
        await asked(channel, {"x": MEGABYTE}, len(MEGABYTE))
        channel.close()
        await ended.told()
    assert _descriptors() <= before


def _mappings() -> str:
    return Path("/proc/self/smaps").read_text("ascii", "replace")


def _descriptors() -> int:
    gc.collect()  # what earlier tests have left goes at any time
    return len(list(Path("/proc/self/fd").iterdir()))
