"""An upload outlives the server that was taking it in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from modelyard_client import Client, files
from tests.e2e.conftest import kill_server, start_server, stop_server

HALF = 12 << 20


def large_graph(path: Path) -> Path:
    """24 MB of weights that are all used."""
    weights = np.random.default_rng(0).random((2, HALF // 4), dtype=np.float32)
    node = helper.make_node("Gather", ["w", "x"], ["y"])
    inputs = [helper.make_tensor_value_info("x", TensorProto.INT64, [None])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, HALF // 4])]
    graph = helper.make_graph(
        [node], "large", inputs, outputs, [numpy_helper.from_array(weights, "w")]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    save(made, path)
    return path


def test_a_killed_servers_upload_is_resumed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = large_graph(tmp_path / "large.onnx")
    home = tmp_path / "home"
    server = start_server(home, "--workers", "1")
    port = server.url.rpartition(":")[2]
    halfway, killed = threading.Event(), threading.Event()
    sent: list[int] = []
    chunks = files.FileSource.chunks

    def slowly(self: files.FileSource) -> Iterator[bytes]:
        """The first time over the wire, stop halfway until the server is dead."""
        reading = len(sent)
        sent.append(0)
        for chunk in chunks(self):
            yield chunk
            sent[reading] += len(chunk)
            if reading == 1 and sent[1] > HALF and not killed.is_set():
                halfway.set()
                assert killed.wait(60)

    monkeypatch.setattr(files.FileSource, "chunks", slowly)
    behind, offsets = files._behind, list[int]()

    def remembered(source: files.Source, offset: int) -> Iterator[bytes]:
        offsets.append(offset)
        return behind(source, offset)

    monkeypatch.setattr(files, "_behind", remembered)
    numbers: list[int] = []

    def upload() -> None:
        with Client(server.url, server.admin_key) as client:
            numbers.append(client.models.import_model("large", file).number)

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        assert halfway.wait(60)
        kill_server(server.process)
        (part,) = (home / "uploads").iterdir()
        there = part.stat().st_size
        assert 0 < there < file.stat().st_size
        # One that nobody will go on with, and that is not worth it.
        (home / "uploads" / f"tnt_x-{'0' * 64}.part").write_bytes(b"orphan")
        # It was sent as PUT; whoever asks now is told where to go on.
        killed.set()
        server = start_server(home, "--workers", "1", port=port)
        thread.join(120)
        assert numbers == [1]
    finally:
        killed.set()
        thread.join(60)
        code = stop_server(server.process)
    assert code == 0
    assert offsets == [0, there]
    assert list((home / "uploads").iterdir()) == []
    assert list((home / "scratch").iterdir()) == []
    assert list((home / "blobs" / "incoming").iterdir()) == []
