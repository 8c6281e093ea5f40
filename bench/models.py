"""The benchmark's models, trained here and now, and the requests sent to them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

FEATURES = 64


class Case(msgspec.Struct, frozen=True):
    """A model, a request for it, and the answer's first output as the session itself gives it."""

    name: str
    graph: Path
    body: bytes
    connections: int
    expected: list[int]


def logistic_regression(folder: Path) -> Case:
    """Two classes from 64 numbers: one row a request."""
    from skl2onnx import to_onnx
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression

    from modelyard.serving.runtimes.onnx import open_session

    x, y = make_classification(2000, FEATURES, n_informative=16, random_state=0)
    x = x.astype(np.float32)
    fitted = LogisticRegression(max_iter=500).fit(x, y)
    graph = to_onnx(fitted, x[:1], options={"zipmap": False}).SerializeToString()
    path = folder / "logistic_regression.onnx"
    path.write_bytes(graph)
    session = open_session(graph)
    name, row = session.get_inputs()[0].name, x[:1]
    body = msgspec.json.encode(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": [1, FEATURES],
                    "datatype": "FP32",
                    "data": [float(value) for value in row[0]],
                }
            ]
        }
    )
    expected = session.run(None, {name: row})[0].tolist()
    return Case("logistic regression, 1 row of 64", path, body, 16, expected)
