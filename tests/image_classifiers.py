"""An image classifier as small as can be: which colour is there the most of?"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

LABELS = ("red", "green", "blue")
SIDE = 8
PREPROCESSOR: dict[str, Any] = {
    "size": {"height": SIDE, "width": SIDE},
    "resample": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def graph(shape: tuple[str | int, ...] = ("batch", 3, SIDE, SIDE), channels_at: int = 1) -> bytes:
    """Ten times the mean of each channel."""
    kept = [at for at in (1, 2, 3) if at != channels_at]
    nodes = [
        helper.make_node("ReduceMean", ["pixel_values"], ["mean"], axes=kept, keepdims=0),
        helper.make_node("Mul", ["mean", "ten"], ["logits"]),
    ]
    made = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], 3])],
        [numpy_helper.from_array(np.float32(10.0).reshape(1), "ten")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


def files(changes: dict[str, bytes | None] | None = None, **preprocessor: Any) -> dict[str, bytes]:
    """The whole model; `changes` puts other files in, or with None takes them out."""
    every: dict[str, bytes | None] = {
        "model.onnx": graph(),
        "preprocessor_config.json": json.dumps({**PREPROCESSOR, **preprocessor}).encode(),
        "labels.txt": "\n".join(LABELS).encode(),
        **(changes or {}),
    }
    return {name: data for name, data in every.items() if data is not None}


def archive(changes: dict[str, bytes | None] | None = None, **preprocessor: Any) -> bytes:
    """The same as one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, data in files(changes, **preprocessor).items():
            made.writestr(name, data)
    return buffer.getvalue()


def folder(path: Path, changes: dict[str, bytes | None] | None = None) -> Path:
    """The same as a folder."""
    path.mkdir()
    for name, data in files(changes).items():
        (path / name).write_bytes(data)
    return path


def picture(colour: Any, size: tuple[int, int] = (16, 12), format_: str = "PNG") -> bytes:
    """A file of one colour; `size` is (width, height)."""
    return encoded(Image.new("RGB", size, colour), format_)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()
