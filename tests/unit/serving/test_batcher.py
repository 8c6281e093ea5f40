"""The batcher on a real event loop, threads and ONNX graphs."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from modelyard.core.errors import DeadlineExceeded, Invalid, Unavailable
from modelyard.core.tensors import Datatype, Tensor
from modelyard.serving.batcher import Batcher
from modelyard.serving.metrics import Metrics
from modelyard.serving.options import ServingOptions
from modelyard.serving.runner import ThreadRunner
from modelyard.serving.slots import Series
from modelyard.serving.stopping import StopSignal
from tests.batching import Watched, looping, mixing
from tests.dataplane import Model, echo, load, picker

pytestmark = pytest.mark.asyncio
LONG = 60.0
FOREVER = 1 << 40


class Gated:
    """A runtime whose calls wait until they are let through."""

    call_seconds = 1.0
    row_seconds = 1.0

    def __init__(self, inner: Watched) -> None:
        self.inner = inner
        self.stackable = inner.stackable
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)

    def infer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        self.entered.release()
        assert self.gate.acquire(timeout=30)
        return self.inner.infer(inputs, stop)


class Bench:
    """Batchers over threads and metrics of their own."""

    def __init__(self, folder: Path) -> None:
        self.pool = ThreadPoolExecutor(2)
        self.metrics = Metrics(folder, "gwy_1").route(Series("t", "d", "m", 1))
        self.made: list[Batcher] = []

    def watched(self, model: Model, **options: Any) -> tuple[Batcher, Watched]:
        runtime = Watched(load(model)[1])
        return self.batcher(runtime, **options), runtime

    def gated(self, model: Model, **options: Any) -> tuple[Batcher, Gated]:
        runtime = Gated(Watched(load(model)[1]))
        return self.batcher(runtime, **options), runtime

    def batcher(self, runtime: Any, **options: Any) -> Batcher:
        runner = ThreadRunner(runtime, self.pool)
        self.made.append(Batcher(runner, ServingOptions(**options), self.metrics))
        return self.made[-1]


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for batcher in made.made:
        batcher.close()
    made.pool.shutdown(cancel_futures=True)


def at(*rows: int) -> dict[str, Tensor]:
    return {"at": np.array(rows, np.int64)}


async def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.001)


async def entered(runtime: Gated) -> None:
    """Until a call is in the model's hands."""
    assert await asyncio.to_thread(runtime.entered.acquire, timeout=10)


async def test_a_lone_request_starts_in_its_tick(bench: Bench) -> None:
    batcher, runtime = bench.watched(picker(), max_batch_size=64)
    answer = await batcher.submit(at(2, 0), 2, LONG)
    assert answer["value"].tolist() == [30, 10]
    assert runtime.calls == [2]
    assert batcher.idle


async def test_requests_of_one_tick_share_a_call(bench: Bench) -> None:
    batcher, runtime = bench.watched(picker())
    answers = await asyncio.gather(*(batcher.submit(at(n % 3), 1, LONG) for n in range(10)))
    assert [a["value"].tolist() for a in answers] == [[10 * (n % 3 + 1)] for n in range(10)]
    assert runtime.calls == [10]


async def test_what_comes_during_a_call_is_the_next_call(bench: Bench) -> None:
    batcher, runtime = bench.gated(picker())
    first = batcher.submit(at(0), 1, LONG)
    await entered(runtime)
    others = []
    for n in range(9):
        others.append(batcher.submit(at(n % 3), 1, LONG))
        await asyncio.sleep(0)
    runtime.gate.release(2)
    assert (await first)["value"].tolist() == [10]
    answers = await asyncio.gather(*others)
    assert [a["value"].tolist() for a in answers] == [[10 * (n % 3 + 1)] for n in range(9)]
    assert runtime.inner.calls == [1, 9]


async def test_no_call_has_more_rows_than_allowed_unless_one_request_has(bench: Bench) -> None:
    batcher, runtime = bench.watched(picker(), max_batch_size=4)
    sizes = [3, 1, 2, 9, 2, 4]
    await asyncio.gather(*(batcher.submit(at(*[1] * n), n, LONG) for n in sizes))
    assert runtime.calls == [4, 4, 9, 4]


async def test_only_what_stacks_joins_and_the_oldest_goes_first(bench: Bench) -> None:
    batcher, runtime = bench.watched(echo(Datatype.FP32))
    widths = [2, 3, 2, 3, 3]
    waiting = [
        batcher.submit({"x": np.full((1, width), n, np.float32)}, 1, LONG)
        for n, width in enumerate(widths)
    ]
    answers = await asyncio.gather(*waiting)
    assert [a["y"].tolist() for a in answers] == [[[n] * w] for n, w in enumerate(widths)]
    assert runtime.calls == [2, 3]


@pytest.mark.parametrize("node", ["Sub", "Mul", "Div"])
async def test_a_graph_that_mixes_its_rows_is_never_batched(bench: Bench, node: str) -> None:
    batcher, runtime = bench.watched(mixing(node))
    rows = [np.array([[n + 1, 1]], np.float32) for n in range(5)]
    answers = await asyncio.gather(*(batcher.submit({"x": row}, 1, LONG) for row in rows))
    assert runtime.calls == [1] * 5
    expected = {"Sub": rows[0] - rows[0], "Mul": rows[2] ** 2, "Div": rows[0] / rows[0]}[node]
    assert answers[2]["y"].tolist() == expected.tolist()


@pytest.mark.parametrize("model", [picker(), echo(Datatype.BYTES), echo(Datatype.FP32), looping()])
async def test_graphs_that_answer_row_by_row_are_known_as_such(model: Model) -> None:
    assert load(model)[1].stackable


async def test_a_poisoned_request_fails_alone(bench: Bench) -> None:
    batcher, runtime = bench.watched(picker(), max_batch_size=32)
    rows = [n % 3 for n in range(32)]
    rows[13] = 77
    answers = await asyncio.gather(
        *(batcher.submit(at(row), 1, LONG) for row in rows), return_exceptions=True
    )
    for n, answer in enumerate(answers):
        if n == 13:
            assert isinstance(answer, Invalid)
            assert "77" in answer.message or "refused" in answer.message
        else:
            assert isinstance(answer, dict)
            assert answer["value"].tolist() == [10 * (n % 3 + 1)]
    # Halves, not each by itself.
    assert len(runtime.calls) == 11
    again = await asyncio.gather(*(batcher.submit(at(1), 1, LONG) for _ in range(5)))
    assert [a["value"].tolist() for a in again] == [[20]] * 5
    assert runtime.calls[11:] == [5]


class Deceiver:
    """Says that it answers row by row, and does not for more than two."""

    call_seconds = row_seconds = 1.0
    stackable = True

    def __init__(self) -> None:
        self.calls: list[int] = []

    def infer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        x = inputs["x"]
        self.calls.append(len(x))
        return {"y": x if len(x) < 3 else x.sum()}


async def test_a_model_that_turns_out_to_mix_rows_is_batched_no_more(bench: Bench) -> None:
    runtime = Deceiver()
    batcher = bench.batcher(runtime)
    for calls in ([4, 1, 1, 1, 1], [1, 1, 1, 1]):
        runtime.calls.clear()
        rows = [np.array([n]) for n in range(4)]
        answers = await asyncio.gather(*(batcher.submit({"x": row}, 1, LONG) for row in rows))
        assert [a["y"].tolist() for a in answers] == [[0], [1], [2], [3]]
        assert runtime.calls == calls


async def test_cancelled_requests_leave_the_queue(bench: Bench) -> None:
    batcher, runtime = bench.gated(picker())
    first = batcher.submit(at(0), 1, LONG)
    await entered(runtime)
    others = [batcher.submit(at(n), 1, LONG) for n in (0, 1, 2)]
    others[1].cancel()
    runtime.gate.release(2)
    await first
    assert [(await o)["value"].tolist() for o in (others[0], others[2])] == [[10], [30]]
    assert runtime.inner.calls == [1, 2]


async def test_one_that_goes_during_the_call_does_not_stop_its_neighbours(bench: Bench) -> None:
    batcher, runtime = bench.gated(picker())
    gone, stays = (batcher.submit(at(n), 1, LONG) for n in (1, 2))
    await entered(runtime)
    gone.cancel()
    await asyncio.sleep(0)
    runtime.gate.release()
    assert (await stays)["value"].tolist() == [30]


async def test_a_batch_whose_every_member_has_gone_is_not_run_again(bench: Bench) -> None:
    batcher, runtime = bench.watched(looping())
    waiting = [batcher.submit({"times": np.array([FOREVER])}, 1, LONG) for _ in range(3)]
    await until(lambda: runtime.calls)
    for each in waiting:
        each.cancel()
    answer = await asyncio.wait_for(batcher.submit({"times": np.array([5])}, 1, LONG), 10)
    assert answer["y"].tolist() == [5]
    assert runtime.calls == [3, 1]


async def test_all_gone_before_the_start_is_no_call(bench: Bench) -> None:
    batcher, runtime = bench.watched(picker())
    batcher.submit(at(0), 1, LONG).cancel()
    await asyncio.sleep(0.01)
    assert runtime.calls == []
    assert batcher.idle
    assert (await batcher.submit(at(0), 1, LONG))["value"].tolist() == [10]


async def test_what_is_over_in_the_pools_queue_is_not_run(bench: Bench) -> None:
    held = threading.Event()
    for _ in range(2):
        bench.pool.submit(held.wait, 30)
    batcher, runtime = bench.watched(picker())
    with pytest.raises(DeadlineExceeded):
        await batcher.submit(at(0), 1, 0.02)
    held.set()
    assert (await batcher.submit(at(1), 1, LONG))["value"].tolist() == [20]
    assert runtime.calls == [1]


async def test_a_deadline_stops_the_running_session(bench: Bench) -> None:
    batcher, _ = bench.watched(looping())
    with pytest.raises(DeadlineExceeded):
        await batcher.submit({"times": np.array([FOREVER])}, 1, 0.05)
    # It would go on for days.
    await until(lambda: batcher.idle)


async def test_a_deadline_is_told_while_another_request_runs(bench: Bench) -> None:
    batcher, runtime = bench.gated(picker())
    first = batcher.submit(at(0), 1, LONG)
    await entered(runtime)
    late = batcher.submit(at(1), 1, 0.01)
    with pytest.raises(DeadlineExceeded):
        await late
    assert not first.done()
    assert len(batcher) == 0
    runtime.gate.release()
    await first
    assert runtime.inner.calls == [1]


async def test_deadlines_of_neighbours_are_their_own(bench: Bench) -> None:
    batcher, runtime = bench.gated(picker())
    short, long = batcher.submit(at(0), 1, 0.02), batcher.submit(at(1), 1, LONG)
    await entered(runtime)
    with pytest.raises(DeadlineExceeded):
        await short
    runtime.gate.release()
    assert (await long)["value"].tolist() == [20]


async def test_a_hundred_short_deadlines_on_a_slow_model_run_it_once(bench: Bench) -> None:
    batcher, runtime = bench.gated(picker(), max_batch_size=1)
    answers = [batcher.submit(at(0), 1, 0.05) for _ in range(100)]
    outcomes = await asyncio.gather(*answers, return_exceptions=True)
    assert all(isinstance(outcome, DeadlineExceeded) for outcome in outcomes)
    runtime.gate.release(100)
    await until(lambda: batcher.idle)
    assert len(runtime.inner.calls) <= 1


async def test_a_full_queue_refuses_at_once_and_the_gone_make_room(bench: Bench) -> None:
    batcher, runtime = bench.gated(picker(), max_queue=3)
    first = batcher.submit(at(0), 1, LONG)
    await entered(runtime)
    waiting = [batcher.submit(at(0), 1, LONG) for _ in range(3)]
    with pytest.raises(Unavailable) as refused:
        batcher.submit(at(0), 1, LONG)
    assert refused.value.retry_after >= 1
    waiting[1].cancel()
    waiting.append(batcher.submit(at(2), 1, LONG))
    runtime.gate.release(2)
    await first
    assert (await waiting[-1])["value"].tolist() == [30]


async def test_a_batch_waits_for_company_only_until_it_is_full(bench: Bench) -> None:
    batcher, runtime = bench.watched(picker(), max_batch_size=4, max_delay_ms=1000.0)
    began = time.monotonic()
    waiting = [batcher.submit(at(0), 1, LONG)]
    await asyncio.sleep(0.01)
    waiting += [batcher.submit(at(0), 1, LONG) for _ in range(3)]
    await asyncio.gather(*waiting)
    assert runtime.calls == [4]
    assert time.monotonic() - began < 0.9


async def test_a_batch_that_does_not_fill_starts_after_its_delay(bench: Bench) -> None:
    batcher, runtime = bench.watched(picker(), max_batch_size=4, max_delay_ms=20.0)
    began = time.monotonic()
    first = batcher.submit(at(0), 1, LONG)
    await asyncio.sleep(0.001)
    await asyncio.gather(first, batcher.submit(at(0), 1, LONG))
    assert runtime.calls == [2]
    assert time.monotonic() - began >= 0.018


async def test_after_a_call_the_next_batch_has_its_delay_too(bench: Bench) -> None:
    batcher, runtime = bench.gated(picker(), max_batch_size=2, max_delay_ms=50.0)
    full = [batcher.submit(at(0), 1, LONG) for _ in range(2)]
    await entered(runtime)
    lone = batcher.submit(at(0), 1, LONG)
    runtime.gate.release(2)
    await asyncio.gather(*full)
    joined = batcher.submit(at(0), 1, LONG)
    await asyncio.gather(lone, joined)
    assert runtime.inner.calls == [2, 2]


async def test_closed_threads_are_told_as_unavailable(bench: Bench) -> None:
    batcher, runtime = bench.gated(picker(), max_batch_size=1)
    running, waiting = (batcher.submit(at(0), 1, LONG) for _ in range(2))
    await entered(runtime)
    bench.pool.shutdown(wait=False, cancel_futures=True)
    runtime.gate.release(2)
    assert (await running)["value"].tolist() == [10]
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await batcher.submit(at(0), 1, LONG)
    assert batcher.idle


async def test_closing_stops_what_runs_and_refuses_what_waits(bench: Bench) -> None:
    batcher, runtime = bench.watched(looping(), max_batch_size=1)
    running = batcher.submit({"times": np.array([FOREVER])}, 1, LONG)
    waiting = batcher.submit({"times": np.array([1])}, 1, LONG)
    await until(lambda: runtime.calls)
    batcher.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Invalid):
        await asyncio.wait_for(running, 10)


async def test_an_idle_batcher_is_held_by_nobody(bench: Bench) -> None:
    batcher, _ = bench.watched(picker())
    await asyncio.gather(*(batcher.submit(at(0), 1, 3600.0) for _ in range(3)))
    bench.made.clear()
    left = weakref.ref(batcher)
    del batcher
    await asyncio.sleep(0)
    gc.collect()
    assert left() is None


async def test_thousands_under_random_cancellation_get_their_own(bench: Bench) -> None:
    batcher, runtime = bench.watched(echo(Datatype.INT64), max_batch_size=64, max_queue=100_000)
    rng = np.random.default_rng(7)
    kept = 0

    async def ask(tag: int, *, cancel: bool) -> None:
        nonlocal kept
        rows = tag % 3 + 1
        answer = batcher.submit({"x": np.full((rows, 1), tag)}, rows, LONG)
        if cancel:
            await asyncio.sleep(0)
            answer.cancel()
            return
        assert (await answer)["y"].tolist() == [[tag]] * rows
        kept += 1

    for start in range(0, 6000, 200):
        fates = rng.random(200) < 0.3
        await asyncio.gather(*(ask(start + n, cancel=bool(f)) for n, f in enumerate(fates)))
    assert kept > 3000
    assert sum(runtime.calls) >= kept
    assert len(runtime.calls) < kept


async def test_what_repeats_by_its_values_never_runs_on_the_event_loop() -> None:
    # On the samples it is quick: they say that nothing is to be repeated.
    assert load(looping())[1].call_seconds >= 0.02
    assert load(picker())[1].call_seconds < 0.02
