"""Models as their libraries save them, small and trained on the spot."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import skops.io
import xgboost
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

ROWS = np.random.default_rng(0).random((80, 4)).astype(np.float32)
LABELS = (ROWS[:, 0] > ROWS[:, 1]).astype(np.int64)


def classifier() -> LogisticRegression:
    return LogisticRegression().fit(ROWS, LABELS)


def onnx_model() -> bytes:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])]
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], [0.5, -0.5])
    nodes = [helper.make_node("Mul", ["x", "w"], ["z"]), helper.make_node("Relu", ["z"], ["y"])]
    graph = helper.make_graph(nodes, "relu", inputs, outputs, [weights])
    opsets = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def xgboost_model(kind: str = "json") -> bytes:
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=3).fit(ROWS, LABELS)
    return bytes(model.get_booster().save_raw(kind))


def lightgbm_model() -> bytes:
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, min_child_samples=5)
    return bytes(model.fit(ROWS, LABELS).booster_.model_to_string().encode())


def skops_model() -> bytes:
    return bytes(skops.io.dumps(classifier()))


def joblib_model(compress: Any = 0) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(classifier(), buffer, compress=compress)
    return buffer.getvalue()


def pickle_model(protocol: int = 5) -> bytes:
    return pickle.dumps(classifier(), protocol)


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Marks:
    """Writes a file when it is unpickled: wherever that happens, it shows."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self._marker, "executed")
