"""The same sessions for every peer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Infer = Callable[[Any], "dict[str, np.ndarray[Any, Any]]"]


def names() -> list[str]:
    """The models to serve."""
    return sorted(path.stem for path in _folder().glob("*.onnx"))


def load(name: str) -> Infer:
    """Rows in, outputs by name out; on one thread, as all servers share one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    graph = str(_folder() / f"{name}.onnx")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]

    def infer(rows: Any) -> dict[str, np.ndarray[Any, Any]]:
        answers = session.run(outputs, {"X": np.asarray(rows, dtype=np.float32)})
        return dict(zip(outputs, answers, strict=True))

    return infer


def _folder() -> Path:
    return Path(os.environ["MODELYARD_BENCH_MODELS"])
