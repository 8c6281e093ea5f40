"""Which file of a folder is the model."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from modelyard.core.errors import Invalid, UnsupportedFormat
from modelyard.registry.artifact import Format
from modelyard.registry.detection import find_model

PICKLE = pickle.dumps({"a": 1})
BOOSTER = b'{"learner":{}}'


def folder(tmp_path: Path, **files: bytes) -> Path:
    for name, data in files.items():
        path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def test_the_one_model_among_other_files(tmp_path: Path) -> None:
    found = find_model(folder(tmp_path, README=b"# A model", data__weights_dot_bin=BOOSTER))
    assert (found.format, found.path, found.mlflow) == (
        Format.XGBOOST,
        tmp_path / "data" / "weights.bin",
        False,
    )


def test_an_archive_that_wraps_everything_in_a_folder(tmp_path: Path) -> None:
    found = find_model(folder(tmp_path, top__inner__model=BOOSTER, top__inner__note=b"text"))
    assert found.path == tmp_path / "top" / "inner" / "model"


def test_a_python_model_is_its_folder(tmp_path: Path) -> None:
    (tmp_path / "declared").mkdir()
    declared = folder(tmp_path / "declared", modelyard_dot_toml=b"", net_dot_py=b"...")
    assert find_model(declared).format is Format.PYTHON
    shutil.rmtree(declared)
    found = find_model(folder(tmp_path, top__model_dot_py=b"...", top__w_dot_pkl=PICKLE))
    assert (found.format, found.path) == (Format.PYTHON, tmp_path / "top")


def test_an_mlflow_folder(tmp_path: Path) -> None:
    mlmodel = b"flavors:\n  sklearn:\n    pickled_model: model.pkl\n"
    found = find_model(
        folder(
            tmp_path,
            MLmodel=mlmodel,
            model_dot_pkl=PICKLE,
            conda_dot_yaml=b"name: x\n",
            input_example_dot_json=b'{"columns": []}',
        )
    )
    assert (found.format, found.path.name, found.mlflow) == (Format.PICKLE, "model.pkl", True)


def test_mlflows_own_python_class_is_refused_with_a_hint(tmp_path: Path) -> None:
    mlmodel = b"    loader_module: mlflow.pyfunc.model\n    python_model: p.pkl\n"
    with pytest.raises(UnsupportedFormat, match="custom Python model"):
        find_model(folder(tmp_path, MLmodel=mlmodel, p_dot_pkl=PICKLE))


def test_several_models_are_not_chosen_from(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"2 models.*'a' \(pickle\), 'b' \(xgboost\)"):
        find_model(folder(tmp_path, a=PICKLE, b=BOOSTER))


def test_no_model_at_all(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormat, match="no model is in this folder, which holds 'a', 'b'"):
        find_model(folder(tmp_path, a=b"text", b=b"more text"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnsupportedFormat, match="no model"):
        find_model(tmp_path / "empty")


def test_archives_within_are_not_opened(tmp_path: Path) -> None:
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.pkl", PICKLE)
    with pytest.raises(UnsupportedFormat, match="no model"):
        find_model(folder(tmp_path, inner_dot_zip=buffer.getvalue(), note=b"text"))
