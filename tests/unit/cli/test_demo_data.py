from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from modelyard.cli.demo_data import FEATURES, TARGET, require_libraries, write_tumours
from tests.unit.cli.conftest import Run


def test_the_table_is_whole_and_the_rows_held_back_are_not_in_it(tmp_path: Path) -> None:
    from sklearn.datasets import load_breast_cancer

    require_libraries()
    tumours = write_tumours(tmp_path)
    with tumours.known.open(newline="") as source:
        known = list(csv.DictReader(source))
    with tumours.held_back.open(newline="") as source:
        back = list(csv.DictReader(source))
    assert (len(known), len(back)) == (564, 5)
    assert [row[TARGET] for row in back] == tumours.truths
    assert set(tumours.truths) == {"malignant", "benign"}

    whole = load_breast_cancer()
    assert [name.replace(" error", "").split() for name in whole.feature_names[:2]] == [
        ["mean", "radius"],
        ["mean", "texture"],
    ]
    first = dict(zip(FEATURES, whole.data[0], strict=True))
    assert tumours.records[0] == first
    assert tumours.truths[0] == whole.target_names[whole.target[0]]
    published = [name.replace(" ", "_") for name in whole.feature_names]
    ours = [f"{n[6:]}_error" if n.startswith("error_") else n for n in FEATURES]
    assert ours == published


def test_without_the_libraries_that_train_it_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None there is how Python notes that a module cannot be imported.
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    ended = run("demo")
    assert (ended.code, ended.out) == (1, "")
    assert "skl2onnx cannot be found" in ended.err
    assert "pip install 'modelyard[train]'" in ended.err
