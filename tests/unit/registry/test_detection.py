import bz2
import gzip
import io
import lzma
import pickle
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest

from modelyard.core.errors import UnsupportedFormat
from modelyard.registry.detection import HEAD_BYTES, refuse_other_than_onnx


class Estimator:
    weight = 1.0


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [Estimator(), [1], {"a": 1}, np.arange(3)], ids=str)
def test_pickles_are_refused_by_name(protocol: int, value: Any) -> None:
    with pytest.raises(UnsupportedFormat, match=r"pickle .* sandbox .* ONNX"):
        refuse_other_than_onnx(pickle.dumps(value, protocol)[:HEAD_BYTES])


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (zlib.compress(b"x", 3), "zlib"),
        (zlib.compress(b"x", 9), "zlib"),
        (gzip.compress(b"x"), "gzip"),
        (bz2.compress(b"x"), "bzip2"),
        (lzma.compress(b"x"), "xz"),
        (lzma.compress(b"x", lzma.FORMAT_ALONE), "LZMA"),
        (zipped(), "PyTorch"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    ],
)
def test_files_that_may_hold_code_are_refused_by_name(data: bytes, what: str) -> None:
    with pytest.raises(UnsupportedFormat, match=f"{what}.*sandbox"):
        refuse_other_than_onnx(data[:HEAD_BYTES])


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\x40\0\0\0\0\0\0\0{}", "safetensors"),
        (b'{"learner": {}}', "JSON"),
    ],
)
def test_other_data_formats_are_refused_as_not_there_yet(data: bytes, what: str) -> None:
    with pytest.raises(UnsupportedFormat, match=f"{what}.*only ONNX"):
        refuse_other_than_onnx(data)


@pytest.mark.parametrize("data", [b"\x08\x0a\x12\x08skl2onnx", b"", b"anything else"])
def test_what_may_be_onnx_is_left_to_its_parser(data: bytes) -> None:
    refuse_other_than_onnx(data)
