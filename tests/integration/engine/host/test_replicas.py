"""Replicas from load to unload, one at a time."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import socket
from pathlib import Path

import numpy as np
import psutil
import pytest

from modelyard.adapters.engine.host.messages import Misbehaved, Unwant
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.serving.replica.frames import pack
from modelyard.serving.replica.messages import Answer, Call, Cancel, Failure, Share, lay_out
from tests.e2e import graphs
from tests.integration.engine.host.yard import MIB, Yard, rows, running, until

pytestmark = pytest.mark.asyncio

SLOW = Signature(
    inputs=(TensorSpec("turns", Datatype.INT64, (-1,)),),
    outputs=(TensorSpec("done", Datatype.INT64, (-1,)),),
)
LONG = {"turns": np.array([10_000_000])}
"""Hours of work."""


def replica_pid(yard: Yard) -> int:
    (replica,) = yard.scheduler.replicas.values()
    assert replica.pid is not None
    return replica.pid


async def test_a_version_is_loaded_called_and_unloaded_without_a_trace(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 3.0))
        gateway.want(spec)
        await gateway.prepared(spec.key)
        pid = replica_pid(yard)
        (replica_id,) = gateway.live(spec.key)
        answer, outputs = await gateway.channels[replica_id].ask(rows(1, 2, 3, 4))
        assert isinstance(answer, Answer)
        np.testing.assert_array_equal(outputs["y"], [[3, 6], [9, 12]])
        gateway.say(Unwant(spec.key))
        await until(lambda: not yard.scheduler.replicas, "the replica is unloaded")
        assert not psutil.pid_exists(pid)
        assert not any((tmp_path / "replicas").iterdir())


async def test_several_gateways_share_a_replica(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 2.0))
        gateways = [yard.gateway() for _ in range(3)]
        for gateway in gateways:
            gateway.want(spec)
        for gateway in gateways:
            await until(lambda g=gateway: g.live(spec.key), "a channel")  # type: ignore[misc]
        (replica_id,) = yard.scheduler.replicas
        answers = await asyncio.gather(
            *(gateway.channels[replica_id].ask(rows(i, i)) for i, gateway in enumerate(gateways))
        )
        for i, (_, outputs) in enumerate(answers):
            np.testing.assert_array_equal(outputs["y"], [[2 * i, 2 * i]])


async def test_large_tensors_go_through_shared_memory(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 2.0))
        gateway.want(spec)
        await until(lambda: gateway.live(spec.key), "a channel")
        channel = gateway.channels[gateway.live(spec.key)[0]]
        size = 8 * MIB
        memory = os.memfd_create("shared")
        os.ftruncate(memory, size)
        mapped = mmap.mmap(memory, size)
        channel.socket.setblocking(True)
        (frame,) = pack(Share(size))
        socket.send_fds(channel.socket, [frame], [memory])
        os.close(memory)
        channel.socket.setblocking(False)
        for factor in (1, 2):
            tensor = np.full((MIB // 4, 2), factor, np.float32)
            heads, (raw,) = lay_out({"x": tensor})
            mapped[: raw.nbytes] = bytes(raw)
            (call,) = pack(Call(factor, heads, shared=True))
            await asyncio.get_running_loop().sock_sendall(channel.socket, call)
            answer, outputs = await _shared_answer(channel.socket, memoryview(mapped)[size // 2 :])
            assert answer.shared
            np.testing.assert_array_equal(outputs, tensor * 2)


async def _shared_answer(
    channel: socket.socket, area: memoryview
) -> tuple[Answer, np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    from modelyard.serving.replica.frames import FrameReader

    reader = FrameReader[Answer]((Answer,), 0)
    while not (frames := reader.feed(await asyncio.get_running_loop().sock_recv(channel, 4096))):
        pass
    answer = frames[0].message
    (head,) = answer.outputs
    whole = np.frombuffer(area[: head.size], np.float32)
    return answer, whole.reshape(head.shape[0], head.shape[1]).copy()


async def test_a_slow_call_ends_when_it_is_cancelled_or_late(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        spec = yard.spec(graphs.slow(tmp_path / "model.onnx"), signature=SLOW)
        gateway.want(spec)
        await until(lambda: gateway.live(spec.key), "a channel")
        channel = gateway.channels[gateway.live(spec.key)[0]]
        number = await channel.send(LONG)
        await channel.send(LONG, milliseconds=100)
        await asyncio.sleep(0.2)
        (cancel,) = pack(Cancel(number))
        await asyncio.get_running_loop().sock_sendall(channel.socket, cancel)
        first, _ = await channel.hear()
        assert isinstance(first, Failure)
        assert (first.id, first.code) == (number, "cancelled")
        second, _ = await channel.hear()
        assert isinstance(second, Failure)
        assert second.code == "deadline_exceeded"
        third, _ = await channel.ask(LONG, milliseconds=100)
        assert isinstance(third, Failure)
        assert third.code == "deadline_exceeded"


async def test_what_a_model_refuses_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 2.0))
        gateway.want(spec)
        await until(lambda: gateway.live(spec.key), "a channel")
        channel = gateway.channels[gateway.live(spec.key)[0]]
        refused, _ = await channel.ask({"x": np.zeros((1, 2), np.int64)})
        assert isinstance(refused, Failure)
        assert refused.code == "invalid"
        answer, _ = await channel.ask(rows(1, 2))
        assert isinstance(answer, Answer)


async def test_a_gateway_that_breaks_the_protocol_loses_its_channel_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        good, bad = yard.gateway(), yard.gateway()
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 2.0))
        for gateway in (good, bad):
            gateway.want(spec)
            await until(lambda g=gateway: g.live(spec.key), "a channel")  # type: ignore[misc]
        (replica_id,) = yard.scheduler.replicas
        channel = bad.channels[replica_id]
        await asyncio.get_running_loop().sock_sendall(channel.socket, b"\xff" * 100)
        with pytest.raises(ConnectionResetError):
            await channel.hear()
        answer, _ = await good.channels[replica_id].ask(rows(1, 2))
        assert isinstance(answer, Answer)


async def test_a_file_that_is_no_model_fails_with_a_reason(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        file = tmp_path / "model.onnx"
        file.write_bytes(b"this is no graph")
        spec = yard.spec(file)
        gateway.want(spec)
        failed = await gateway.failed(spec.key)
        assert "ONNX Runtime does not load it" in failed.reason
        assert failed.retry_after > 10
        with pytest.raises(AssertionError, match="does not load it"):
            await gateway.connect(spec.key)
        assert not any((tmp_path / "replicas").iterdir())


async def test_a_missing_blob_fails_with_a_reason(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 2.0))
        digest = spec.files[0].digest
        (tmp_path / "blobs" / "sha256" / digest[:2] / digest).unlink()
        gateway.want(spec)
        failed = await gateway.failed(spec.key)
        assert "no blob" in failed.reason


async def test_loading_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 2.0), load_seconds=0.02)
        gateway.want(spec)
        failed = await gateway.failed(spec.key)
        assert "loading took longer than its 0.02 s" in failed.reason
        assert "3 replicas in a row" in failed.reason


async def test_a_killed_replica_is_started_again_as_long_as_it_was_of_use(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 2.0))
        gateway.want(spec)
        await gateway.prepared(spec.key)
        for _ in range(4):
            channel = await gateway.connect(spec.key)
            answer, _ = await channel.ask(rows(1, 2))
            assert isinstance(answer, Answer)
            gateway.done(spec.key)
            before = replica_pid(yard)
            await asyncio.sleep(0.05)
            os.kill(before, signal.SIGKILL)
            with pytest.raises(ConnectionResetError):
                await channel.hear()
            gateway.release(gateway.live(spec.key)[-1])
            await until(lambda: not psutil.pid_exists(before), "it is gone")  # noqa: B023
        assert not any(type(m).__name__ == "Failed" for m in gateway.heard)


async def test_replicas_that_die_before_they_are_of_use_are_a_failed_version(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 2.0))
        gateway.want(spec)
        for _ in range(3):
            await until(
                lambda: [r for r in yard.scheduler.replicas.values() if r.ready], "a replica"
            )
            before = replica_pid(yard)
            os.kill(before, signal.SIGSEGV)
            await until(lambda: not psutil.pid_exists(before), "it is gone")  # noqa: B023
        failed = await gateway.failed(spec.key)
        assert "3 replicas in a row came to nothing" in failed.reason
        assert "SIGSEGV: a native library failed" in failed.reason
        assert 25 < failed.retry_after <= 30


async def test_a_gateways_complaint_ends_a_replica(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 2.0))
        gateway.want(spec)
        await until(lambda: gateway.live(spec.key), "a channel")
        (replica_id,) = gateway.live(spec.key)
        gateway.say(Misbehaved(replica_id, "an answer of the wrong shape"))
        await until(lambda: replica_id not in yard.scheduler.replicas, "it is gone")
        await until(lambda: yard.scheduler.replicas, "another one is started")


async def test_a_replica_dies_with_its_host(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 2.0))
        gateway.want(spec)
        await gateway.prepared(spec.key)
        pid = replica_pid(yard)
    assert not psutil.pid_exists(pid)
    assert not any((tmp_path / "replicas").iterdir())


async def test_what_an_earlier_host_has_left_is_swept(tmp_path: Path) -> None:
    left = tmp_path / "replicas" / "rep_1" / "model"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"x")
    left.chmod(0o500)
    async with running(tmp_path):
        assert not any((tmp_path / "replicas").iterdir())
