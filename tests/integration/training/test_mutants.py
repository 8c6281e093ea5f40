"""Mutants of models by the hundred: whatever a parser does to its process, the server goes on.

`MODELYARD_TEST_MUTANTS` says how many there are of each file; a thousand is the full measure.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from modelyard.adapters.engine.runner import ProcessTaskRunner
from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.core.tasks import RESULT_FILE, SPEC_FILE
from modelyard.registry.version import VersionState
from modelyard.training.importing import ImportOrder
from modelyard.training.outcomes import outcome_of
from tests.gguf_files import whole_model
from tests.integration.training import model_files as files
from tests.integration.training.mutants import Order
from tests.integration.training.room import OURS, Room

COUNT = int(os.environ.get("MODELYARD_TEST_MUTANTS", "30"))
MEMORY = 8 << 30
SCRIPT = str(Path(__file__).with_name("mutants.py"))


@pytest.mark.timeout(120 + 2 * COUNT)
@pytest.mark.parametrize(
    ("make", "seed", "count", "engine"),
    [
        (files.onnx_model, 1, COUNT, ""),
        (files.xgboost_model, 2, COUNT, ""),
        (lambda: files.xgboost_model("ubj"), 3, COUNT, ""),
        (files.lightgbm_model, 4, COUNT, ""),
        # Those that load are measured, which takes seconds.
        (whole_model, 5, COUNT // 3, "llamacpp"),
        (whole_model, 6, COUNT // 6, "openvino"),
    ],
    ids=["onnx", "xgboost-json", "xgboost-ubj", "lightgbm", "gguf-llamacpp", "gguf-openvino"],
)
def test_mutants_harm_nobody(
    tmp_path: Path,
    make: Callable[[], bytes],
    seed: int,
    count: int,
    engine: str,
    record_property: Callable[[str, object], None],
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "original").write_bytes(make())
    (scratch / SPEC_FILE).write_bytes(msgspec.json.encode(Order(count, seed, engine)))
    runner = ProcessTaskRunner(
        Sandbox(detect()),
        SCRIPT,
        MEMORY,
        60 + 2 * COUNT,
        processes=4,
        deaf_servers=frozenset({"mutants"}),
    )
    outcome = outcome_of(runner, "mutants", scratch)
    assert outcome.ok, outcome.message
    told = msgspec.json.decode((scratch / RESULT_FILE).read_bytes(), type=dict[str, int])
    record_property("mutants", told)
    print(told)  # noqa: T201 - the figures of a full run
    assert sum(told.values()) == count
    assert told.get("refused", 0) > count // 10
    crashed = scratch / "crashed"
    if crashed.exists():
        _fails_alone(tmp_path, crashed.read_bytes(), engine)


def _fails_alone(home: Path, mutant: bytes, engine: str) -> None:
    """The import of a file that crashes its parser is a version that has failed; others go on. One
    that crashes an engine may be served by another.
    """
    room = Room(home)
    try:
        order = ImportOrder(room.upload(mutant), "mutant.bin")
        version = room.imports.import_model(OURS, "mutant", order)
        if engine and version.state is VersionState.READY:
            assert version.profile is not None
            assert version.profile.language is not None
            assert engine not in version.profile.language.engines
        else:
            assert version.state is VersionState.FAILED
            assert "mutant.bin" in version.reason
        good = ImportOrder(room.upload(files.onnx_model()), "good.onnx")
        assert room.imports.import_model(OURS, "mutant", good).state is VersionState.READY
        assert list((home / "scratch").glob("*.lock")) == []
    finally:
        room.store.close()
