from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.adapters.engine.host.files import ReplicaFiles
from modelyard.adapters.engine.host.memory import BASE, HEAVY_BASE, MIB, Needs, default_budget
from modelyard.adapters.engine.host.messages import ModelFile, ReplicaKey, ReplicaSpec
from modelyard.core.errors import Invalid
from modelyard.core.profile import Profile
from modelyard.core.tensors import Signature
from modelyard.core.trust import Trust


def spec(*names: str, form: str = "onnx", profile: Profile | None = None) -> ReplicaSpec:
    return ReplicaSpec(
        key=ReplicaKey("dep_1", "ver_1"),
        tenant_id="tnt_1",
        name="one",
        model="one",
        version=1,
        format=form,
        trust=Trust.DATA,
        files=tuple(
            ModelFile(f"role-{at}", name, "0" * 64, 8 * MIB) for at, name in enumerate(names)
        ),
        signature=Signature((), ()),
        profile=profile,
    )


def test_a_need_is_what_was_seen_else_what_was_measured_else_what_files_tell() -> None:
    needs = Needs()
    measured = Profile(memory_bytes=100 * MIB, call_seconds=1.0, row_seconds=0.1)
    assert needs.of(spec("a", "b")) == BASE + 40 * MIB
    assert needs.of(spec("a", form="torchscript")) == HEAVY_BASE + 20 * MIB
    assert needs.of(spec("a", profile=measured)) == BASE + 100 * MIB
    needs.learn(spec("a"), 30 * MIB)
    needs.learn(spec("a"), 20 * MIB)
    assert needs.of(spec("a", profile=measured)) == 30 * MIB
    needs.forget(spec("a"))
    assert needs.of(spec("a", profile=measured)) == BASE + 100 * MIB


def test_the_default_budget_is_a_part_of_the_machine() -> None:
    assert 16 * MIB < default_budget() < 1 << 50


@pytest.mark.parametrize("names", [("..",), ("",), ("x" * 300,), ("a", "a"), ("a", "b/a")])
def test_names_that_cannot_lie_in_one_folder_are_refused(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    files = ReplicaFiles(tmp_path / "replicas", blobs=None)  # type: ignore[arg-type]
    files.sweep()
    with pytest.raises(Invalid):
        files.fetch("rep_1", spec(*names))
    assert not any((tmp_path / "replicas").iterdir())
