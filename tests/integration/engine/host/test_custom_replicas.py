"""Replicas of custom models: what the code of strangers does, it does to its own replica."""

from __future__ import annotations

import asyncio
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.adapters.engine.host.messages import Misbehaved, ReplicaSpec
from modelyard.core.trust import Trust
from modelyard.serving.replica.frames import BrokenFrame
from modelyard.serving.replica.messages import Answer, Failure, Part
from tests.integration.engine.host.yard import MIB, Channel, FakeGateway, Yard, rows, running, until

pytestmark = pytest.mark.asyncio

WILD = """
import os, sys, time
import numpy as np
from modelyard.model import Datatype, Model, Signature, TensorSpec

class Wild(Model):
    signature = Signature(
        inputs=(TensorSpec("x", Datatype.FP32, (-1, 2)),),
        outputs=(TensorSpec("y", Datatype.FP32, (-1, 2)),),
    )

    def predict(self, inputs):
        doing = {10: self.grow, 11: self.end, 12: self.leave, 13: self.print, 14: self.fail,
                 15: self.hang, 16: self.babble}.get(int(inputs["x"][0, 0]))
        if doing is not None:
            doing()
        return {"y": inputs["x"] * 2}

    def stream(self, inputs):
        for at in range(3):
            yield {"y": inputs["x"] + at}

    def grow(self):
        self.kept = []
        while True:
            self.kept.append(np.ones(8 << 20, np.uint8))
            time.sleep(0.01)

    def end(self):
        print("so long", flush=True)
        os._exit(7)

    def leave(self):
        sys.exit(1)

    def print(self):
        for _ in range(3000):
            print("x" * 1000)

    def fail(self):
        raise RuntimeError("no luck today")

    def hang(self):
        while True:
            pass

    def babble(self):
        # Whatever it can write to, the sockets of its host and its gateways among them.
        for descriptor in range(3, 1024):
            try:
                os.write(descriptor, bytes(range(256)) * 64)
            except OSError:
                pass
"""
GROW, END, LEAVE, PRINT, FAIL, HANG, BABBLE = range(10, 17)


def wild(yard: Yard, folder: Path, **options: Any) -> ReplicaSpec:
    archive = folder / "wild.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model.py", WILD)
    return yard.spec(archive, "wild", form="python", trust=Trust.CODE, **options)


async def serving(yard: Yard, folder: Path, **options: Any) -> tuple[FakeGateway, Channel]:
    gateway = yard.gateway()
    spec = wild(yard, folder, **options)
    gateway.want(spec)
    await gateway.prepared(spec.key)
    await until(lambda: gateway.live(spec.key), "a channel")
    return gateway, gateway.channels[gateway.live(spec.key)[0]]


async def test_code_runs_shut_in_and_answers_in_parts_too(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        _, channel = await serving(yard, tmp_path)
        answer, outputs = await channel.ask(rows(1, 2))
        assert isinstance(answer, Answer)
        np.testing.assert_array_equal(outputs["y"], [[2, 4]])
        await channel.send(rows(1, 2), stream=True)
        for at in range(3):
            part, outputs = await channel.hear()
            assert isinstance(part, Part)
            np.testing.assert_array_equal(outputs["y"], [[1 + at, 2 + at]])
        end, outputs = await channel.hear()
        assert isinstance(end, Answer)
        assert outputs == {}


@pytest.mark.parametrize(
    ("what", "said"), [(FAIL, "no luck today"), (LEAVE, "")], ids=["raise", "sys.exit"]
)
async def test_a_failing_call_is_told_and_the_next_is_answered(
    tmp_path: Path, what: int, said: str
) -> None:
    async with running(tmp_path) as yard:
        _, channel = await serving(yard, tmp_path)
        failure, _ = await channel.ask(rows(what, 0))
        assert isinstance(failure, Failure)
        assert failure.code == "model_failed"
        assert said in failure.message
        answer, _ = await channel.ask(rows(1, 2))
        assert isinstance(answer, Answer)


async def test_a_model_that_prints_without_end_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        _, channel = await serving(yard, tmp_path)
        answer, _ = await channel.ask(rows(PRINT, 0))
        assert isinstance(answer, Answer)


async def test_a_model_that_grows_past_its_bound_is_killed_for_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as yard:
        _, channel = await serving(yard, tmp_path, memory_bytes=200 * MIB)
        with pytest.raises(ConnectionResetError):
            await channel.ask(rows(GROW, 0))
        await until(
            lambda: [r for r in caplog.records if r.msg == "a replica is gone"], "it is noted"
        )
        (record,) = [r for r in caplog.records if r.msg == "a replica is gone"]
        assert record.__dict__["cause"] == "overgrown"
        assert "may use 200 MiB" in record.__dict__["reason"]


async def test_a_model_that_ends_its_process_says_so_with_its_last_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as yard:
        _, channel = await serving(yard, tmp_path)
        with pytest.raises(ConnectionResetError):
            await channel.ask(rows(END, 0))
        await until(
            lambda: [r for r in caplog.records if r.msg == "a replica is gone"], "it is noted"
        )
        (record,) = [r for r in caplog.records if r.msg == "a replica is gone"]
        assert record.__dict__["reason"] == (
            "its process ended with status 7; the last that it said: so long"
        )


async def test_a_model_that_hangs_is_ended_on_a_gateways_word(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway, channel = await serving(yard, tmp_path)
        (replica_id,) = yard.scheduler.replicas
        await channel.send(rows(HANG, 0), milliseconds=50)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await channel.hear()
        gateway.say(Misbehaved(replica_id, "it does not answer"))
        await until(lambda: replica_id not in yard.scheduler.replicas, "it is gone")


async def test_a_model_that_babbles_on_all_its_sockets_is_ended(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway, channel = await serving(yard, tmp_path)
        (replica_id,) = yard.scheduler.replicas
        await channel.send(rows(BABBLE, 0))
        with pytest.raises((BrokenFrame, ConnectionResetError)):
            await channel.hear()
        await until(lambda: replica_id not in yard.scheduler.replicas, "it is gone")
        gateway.release(replica_id)
        (spec,) = (each.spec for each in yard.scheduler.sets.values())
        fresh = await gateway.connect(spec.key)
        answer, _ = await fresh.ask(rows(1, 2))
        assert isinstance(answer, Answer)
