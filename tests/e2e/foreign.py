"""One model of each framework, trained and saved as its users do, and what it answers itself."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import lightgbm
import numpy as np
import skops.io
import xgboost
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from modelyard.core.tensors import Tensor
from tests.integration.serving.runtimes.networks import TwoHeads, export, script

ROWS, TARGET = load_iris(return_X_y=True)
ROWS = ROWS.astype(np.float32)

CUSTOM = """
from modelyard.model import Datatype, Model, Signature, TensorSpec

class Halves(Model):
    signature = Signature(
        (TensorSpec("features", Datatype.FP32, (-1, 4)),),
        (TensorSpec("half", Datatype.FP32, (-1, 4)),),
    )

    def load(self, folder):
        self.factor = float((folder / "factor.txt").read_text())

    def predict(self, inputs):
        return {"half": inputs["features"] * self.factor}
"""


class Foreign(NamedTuple):
    """`answers` are the framework's own for the rows, by output. `converted`: ONNX takes over."""

    path: Path
    input: str
    answers: Mapping[str, Tensor]
    converted: bool = True
    sampled: bool = False


Make = Callable[[Path], Foreign]


def _classifier(model: Any, path: Path) -> Foreign:
    answers = {"label": model.predict(ROWS), "probabilities": model.predict_proba(ROWS)}
    return Foreign(path, "features", answers)


def _forest() -> RandomForestClassifier:
    return RandomForestClassifier(10, random_state=0).fit(ROWS, TARGET)


def sklearn_pickle(folder: Path) -> Foreign:
    model, path = _forest(), folder / "model.pkl"
    path.write_bytes(pickle.dumps(model))
    return _classifier(model, path)


def sklearn_joblib(folder: Path) -> Foreign:
    model, path = _forest(), folder / "model.joblib"
    joblib.dump(model, path, compress=3)
    return _classifier(model, path)


def sklearn_skops(folder: Path) -> Foreign:
    model, path = _forest(), folder / "model.skops"
    skops.io.dump(model, path)
    return _classifier(model, path)


def sklearn_unconverted(folder: Path) -> Foreign:
    model = make_pipeline(FunctionTransformer(np.log1p), LinearRegression()).fit(ROWS, TARGET)
    path = folder / "logs.pkl"
    path.write_bytes(pickle.dumps(model))
    return Foreign(path, "features", {"prediction": model.predict(ROWS)}, converted=False)


def xgboost_file(folder: Path) -> Foreign:
    model, path = xgboost.XGBClassifier(n_estimators=5).fit(ROWS, TARGET), folder / "model.ubj"
    model.save_model(path)
    return _classifier(model, path)


def xgboost_linear(folder: Path) -> Foreign:
    data = xgboost.DMatrix(ROWS, TARGET)
    model, path = xgboost.train({"booster": "gblinear"}, data, 5), folder / "linear.json"
    model.save_model(path)
    return Foreign(path, "features", {"prediction": model.predict(data)}, converted=False)


def lightgbm_file(folder: Path) -> Foreign:
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(ROWS, TARGET)
    path = folder / "model.txt"
    model.booster_.save_model(path)
    return _classifier(model, path)


def mlflow_folder(folder: Path) -> Foreign:
    model, path = _forest(), folder / "run"
    path.mkdir()
    (path / "model.pkl").write_bytes(pickle.dumps(model))
    (path / "MLmodel").write_text(
        "flavors:\n"
        "  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n"
        "  sklearn:\n    pickled_model: model.pkl\n    serialization_format: cloudpickle\n"
    )
    return _classifier(model, path)


def torch_export(folder: Path) -> Foreign:
    import torch

    network, path = TwoHeads(), folder / "model.pt2"
    export(network, (torch.randn(2, 4),), path)
    with torch.inference_mode():
        own = network(torch.from_numpy(ROWS))
    return Foreign(path, "x", {name: one.numpy() for name, one in own.items()})


def torchscript(folder: Path) -> Foreign:
    import torch

    network, path = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh()), folder / "model.pt"
    script(network, path)
    with torch.inference_mode():
        own = network(torch.from_numpy(ROWS)).numpy()
    return Foreign(path, "features", {"output": own}, sampled=True)


def _keras(path: Path) -> Foreign:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ["KERAS_BACKEND"] = "torch"
        import keras

        network = keras.Sequential(
            [
                keras.layers.Input((4,), name="flowers"),
                keras.layers.Dense(8, activation="relu"),
                keras.layers.Dense(3, activation="softmax"),
            ]
        )
        network.save(path)
        return Foreign(path, "flowers", {"output": network.predict(ROWS, verbose=0)})


def keras_file(folder: Path) -> Foreign:
    return _keras(folder / "model.keras")


def keras_h5(folder: Path) -> Foreign:
    return _keras(folder / "model.h5")


def custom_python(folder: Path) -> Foreign:
    path = folder / "halves"
    path.mkdir()
    (path / "model.py").write_text(CUSTOM)
    (path / "factor.txt").write_text("0.5")
    return Foreign(path, "features", {"half": ROWS * 0.5}, converted=False)


FRAMEWORKS: Mapping[str, Make] = {
    make.__name__: make
    for make in (
        sklearn_pickle,
        sklearn_joblib,
        sklearn_skops,
        sklearn_unconverted,
        xgboost_file,
        xgboost_linear,
        lightgbm_file,
        mlflow_folder,
        torch_export,
        torchscript,
        keras_file,
        keras_h5,
        custom_python,
    )
}
