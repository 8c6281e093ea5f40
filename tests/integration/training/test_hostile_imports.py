"""Files that run code when they are read: nowhere but in the sandbox, under whatever name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import pytest

from modelyard.core.errors import ModelyardError
from modelyard.registry.version import VersionState
from modelyard.training.importing import ImportOrder
from tests.integration.training import model_files as files
from tests.integration.training.room import OURS, Room

Payload = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    room = Room(tmp_path_factory.mktemp("home"))
    yield room
    room.store.close()


@pytest.fixture
def marker(room: Room) -> Path:
    """In the server's own home: where the server could write, and no task can."""
    path = room.home / "marker"
    path.unlink(missing_ok=True)
    return path


def test_the_payload_works(marker: Path) -> None:
    pickle.loads(pickle.dumps(files.Marks(marker)))  # noqa: S301 - that is the point
    assert marker.exists()


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_is_run_in_the_sandbox_alone(room: Room, marker: Path, protocol: int) -> None:
    upload = room.upload(pickle.dumps(files.Marks(marker), protocol))
    version = room.imports.import_model(OURS, "evil", ImportOrder(upload, "model.onnx"))
    assert version.state is VersionState.FAILED
    assert not marker.exists()
    # It was run, and could not do what it wanted.
    assert "PermissionError" in version.reason or "denied" in version.reason, version.reason


def _objects(payload: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, a=np.array([payload], dtype=object))
    return buffer.getvalue()


def _joblib(payload: object, compress: object) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(payload, buffer, compress=compress)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("model.pkl.gz", gzip.compress),
        ("model.json", bz2.compress),
        ("weights.h5", lzma.compress),
        ("weights.safetensors", zlib.compress),
        ("model.keras", lambda data: files.zipped({"model.pkl": data})),
        ("model.pt", lambda data: files.zipped({"m/data.pkl": data, "m/version": b"3"})),
        ("script.pt", lambda data: files.zipped(
            {"m/data.pkl": data, "m/constants.pkl": data, "m/version": b"3", "m/code/a.py": b""})),
        ("m.skops", lambda data: files.zipped({"schema.json": data, "1.npy": data})),
        ("model.tar", lambda data: files.tarred({"m/weights.bin": data}, "w:")),
        ("model.tgz", lambda data: files.tarred({"MLmodel": b"flavors:", "model.pkl": data})),
        ("inner.zip", lambda data: files.zipped({"a.zip": files.zipped({"m.pkl": data})})),
        ("a.onnx", lambda data: b"\x08\x08\x12\x04evil" + data),
    ],
)  # fmt: skip
def test_under_every_name_and_compression(
    room: Room, marker: Path, name: str, pack: Payload
) -> None:
    _import(room, pack(pickle.dumps(files.Marks(marker))), name)
    assert not marker.exists()


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("lzma", 3)])
def test_as_joblib(room: Room, marker: Path, compress: object) -> None:
    _import(room, _joblib([files.Marks(marker), np.zeros(9)], compress), "m.txt")
    assert not marker.exists()


def test_as_objects_of_numpy(room: Room, marker: Path) -> None:
    _import(room, _objects(files.Marks(marker)), "m.npz")
    assert not marker.exists()


def test_as_a_sample_or_as_a_data_set(room: Room, marker: Path) -> None:
    evil = room.upload(pickle.dumps(files.Marks(marker)))
    order = ImportOrder(room.upload(files.lightgbm_model()), "l.txt", sample=evil)
    assert room.imports.import_model(OURS, "evil", order).state is VersionState.FAILED
    for name in ("rows.csv", "rows.parquet", "rows.jsonl"):
        with pytest.raises(ModelyardError):
            room.datasets.add(OURS, "evil", evil, name)
    assert not marker.exists()


def _import(room: Room, data: bytes, name: str) -> None:
    """Whatever comes of it: refused, failed or ready."""
    try:
        version = room.imports.import_model(OURS, "evil", ImportOrder(room.upload(data), name))
    except ModelyardError:
        return
    assert version.state is VersionState.FAILED
    assert version.reason
