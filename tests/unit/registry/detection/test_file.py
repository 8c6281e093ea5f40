"""What a file is: told by its bytes, whatever it is called."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LinearRegression

from modelyard.core.errors import ModelyardError, UnsupportedFormat
from modelyard.registry.archives import Damaged, TarArchive, ZipArchive
from modelyard.registry.artifact import TRUST, Format
from modelyard.registry.detection import find_format


def find(tmp_path: Path, data: bytes, name: str = "model.onnx") -> Any:
    path = tmp_path / name
    path.write_bytes(data)
    return find_format(path)


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def onnx_file(**more: Any) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    return bytes(helper.make_model(graph, **more).SerializeToString())


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value", [LinearRegression(), {"a": [1, 2]}, OrderedDict(a=1), [1.5, None], "text" * 50, 7]
)
@pytest.mark.parametrize("name", ["model.pkl", "model.onnx", "model.txt", "x.json", "m.keras"])
def test_a_pickle_is_one_under_every_name(
    tmp_path: Path, protocol: int, value: Any, name: str
) -> None:
    assert find(tmp_path, pickle.dumps(value, protocol), name) == Format.PICKLE


@pytest.mark.parametrize("compress", [0, "zlib", "gzip", "bz2", "xz", "lzma"])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_joblib_is_known_through_its_compressions(
    tmp_path: Path, compress: Any, protocol: int
) -> None:
    model = LinearRegression().fit(np.eye(4), np.arange(4))
    joblib.dump(model, tmp_path / "m.txt", compress=compress, protocol=protocol)
    assert find_format(tmp_path / "m.txt") == Format.JOBLIB


def test_a_pickle_in_gzip_is_what_joblib_reads(tmp_path: Path) -> None:
    assert find(tmp_path, gzip.compress(pickle.dumps([1, 2]))) == Format.JOBLIB


@pytest.mark.parametrize(
    ("data", "format_"),
    [
        (onnx_file(), Format.ONNX),
        (onnx_file(producer_name="someone", doc_string="long" * 100), Format.ONNX),
        (onnx_file()[:-10], Format.ONNX),
        (b'{"learner":{"attributes":{}},"version":[3,2,0]}', Format.XGBOOST),
        (b'{"version":[3,2,0],"learner":{}}', Format.XGBOOST),
        (b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{L", Format.XGBOOST),
        (b"tree\nversion=v4\nnum_class=1\n", Format.LIGHTGBM),
        (b"GGUF\x03\x00\x00\x00", Format.GGUF),
        (b"\x10" + bytes(7) + b'{"a":{"dtype":"F32"}}  ', Format.SAFETENSORS),
        (b"\x89HDF\r\n\x1a\n" + bytes(900) + b"model_config" + bytes(99), Format.KERAS_H5),
        (zipped("config.json", "metadata.json", "model.weights.h5"), Format.KERAS),
        (zipped("schema.json", "14009.npy"), Format.SKOPS),
        (zipped("m/data.pkl", "m/constants.pkl", "m/version", "m/code/a.py"), Format.TORCHSCRIPT),
        (zipped("m/models/model.json", "m/archive_format"), Format.TORCH_EXPORT),
        (zipped("serialized_exported_program.json", "version"), Format.TORCH_EXPORT),
    ],
)
def test_each_format_by_its_structure(tmp_path: Path, data: bytes, format_: Format) -> None:
    assert find(tmp_path, data, "whatever.pkl") == format_


def test_an_archive_is_one(tmp_path: Path) -> None:
    assert isinstance(find(tmp_path, zipped("readme", "model.onnx")), ZipArchive)
    assert isinstance(find(tmp_path, zipped()), ZipArchive)
    (tmp_path / "a").write_bytes(b"a")
    import tarfile

    with tarfile.open(tmp_path / "t", "w:xz") as archive:
        archive.add(tmp_path / "a", "a")
    assert isinstance(find_format(tmp_path / "t"), TarArchive)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped("m/data.pkl", "m/version"), "torch.save.*torch.export.save"),
        (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "torch.save"),
        (zipped("a.npy", "b.npy"), "NumPy archive.*arrays and no model"),
        (b"\x93NUMPY\x01\x00", "NumPy array"),
        (b"\x89HDF\r\n\x1a\n" + bytes(900), r"weights alone: .*model.save\('model.keras'\)"),
        (b'{"a": 1}', "JSON, but no model that XGBoost wrote"),
        (b"\x04\x22\x4d\x18" + bytes(99), "LZ4"),
        (b"a,b\n1,2\n3,4\n", "this file is text"),
        (b"import os\nprint(os)\n", "a folder with model.py"),
        (b"CBM1" + bytes(99), r"CatBoost.*format='onnx'"),
        (bytes(4) + b"TFL3", "TensorFlow Lite"),
        (b"\xde\xad\xbe\xef" * 9, "unknown kind"),
        (gzip.compress(b"only text, of no use " * 9, mtime=0), "neither a tar archive nor"),
    ],
)
def test_what_is_no_model_is_told_what_it_is_and_what_to_do(
    tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(UnsupportedFormat, match=message) as caught:
        find(tmp_path, data)
    assert "Supported are ONNX" in caught.value.message
    assert len(caught.value.message) < 900


@pytest.mark.parametrize(
    "data", [b"", zipped("a", "b")[:-30], gzip.compress(bytes(9999), mtime=0)[:20]]
)
def test_what_is_cut_off_is_damaged(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Damaged):
        find(tmp_path, data)


def test_every_format_has_its_place() -> None:
    assert set(TRUST) == set(Format)


def test_no_bytes_break_it(tmp_path: Path) -> None:
    import random

    chance = random.Random(6)
    beginnings = [b"", b"PK\x03\x04", b"\x80\x04", b"\x08\x08", b"\x1f\x8b\x08", b"BZh9", b"GGUF",
                  b"\x89HDF\r\n\x1a\n", b"{", b"(lp0\n", b"\x5d\x00\x00", b"\x78\x9c"]  # fmt: skip
    for number in range(600):
        data = beginnings[number % len(beginnings)] + chance.randbytes(chance.randrange(900))
        try:
            found = find(tmp_path, data)
        except ModelyardError:
            continue
        assert isinstance(found, Format | ZipArchive | TarArchive)
