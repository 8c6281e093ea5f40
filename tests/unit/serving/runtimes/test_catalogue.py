"""Finding the library of a format, and a version's files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.core.errors import Invalid, NotInstalled
from modelyard.core.trust import Trust
from modelyard.registry.artifact import TRUST, Format
from modelyard.serving.runtimes.catalogue import FORMATS, runtime_for
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest


def test_all_that_can_be_run_is_on_the_allow_list() -> None:
    assert {one.value for one in Format} >= FORMATS
    # Code that nothing runs would be taken in for nothing.
    assert {one.value for one, trust in TRUST.items() if trust is Trust.CODE} <= FORMATS


@pytest.mark.parametrize(
    ("format_", "library", "extra"),
    [
        ("pickle", "joblib", "sklearn"),
        ("xgboost", "xgboost", "xgboost"),
        ("lightgbm", "lightgbm", "lightgbm"),
        ("torch_export", "torch", "torch"),
        ("keras", "keras", "keras"),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    format_: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*sys.modules]:
        if name.startswith("modelyard.serving.runtimes.") and name.endswith("_model"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(NotInstalled) as caught:
        runtime_for(format_)
    assert f"need '{library}', which is not installed" in caught.value.message
    assert f"pip install 'modelyard[{extra}]'" in caught.value.message


def test_a_format_that_nothing_runs_is_refused() -> None:
    with pytest.raises(CannotLoad, match="no runtime serves the format 'cobol'"):
        runtime_for("cobol")


def test_the_catalogue_and_the_base_class_import_no_library() -> None:
    heavy = "{'sklearn', 'pandas', 'xgboost', 'lightgbm', 'torch', 'keras', 'onnxruntime', 'onnx'}"
    code = (
        "import sys, modelyard.model, modelyard.serving.runtimes.catalogue; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["/etc/passwd", "../model", "a/../../b"])
def test_a_manifest_names_files_beneath_its_folder_only(name: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="must lie beneath the version's folder"):
        RuntimeManifest("onnx", {"model": name}).path(tmp_path)


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(CannotLoad, match="no file for 'features'"):
        RuntimeManifest("onnx", {"model": "m"}).path(tmp_path, "features")
    with pytest.raises(CannotLoad, match="the version's file 'm' is missing"):
        RuntimeManifest("onnx", {"model": "m"}).path(tmp_path)
    (tmp_path / "m").touch()
    assert RuntimeManifest("onnx", {"model": "m"}).path(tmp_path) == tmp_path / "m"
