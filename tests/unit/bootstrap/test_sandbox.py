import subprocess

import pytest

from modelyard.adapters.engine.sandbox import detection
from modelyard.bootstrap.parts import CAPABILITIES, judge_sandbox, open_sandbox
from modelyard.core.errors import Invalid
from modelyard.core.sandboxing import Capabilities, SandboxLevel
from modelyard.core.settings import Settings

REDUCED = Capabilities(7, True, (), (), ("namespaces are not allowed",))


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that what the code under test sets is taken back.
    monkeypatch.setenv(CAPABILITIES, "")
    monkeypatch.delenv(CAPABILITIES)
    monkeypatch.setattr(detection, "detect", lambda: REDUCED)


def test_what_was_found_holds_for_all_processes_of_the_server() -> None:
    judge_sandbox(Settings())
    assert open_sandbox().capabilities == REDUCED


def test_a_process_of_its_own_finds_out_by_itself() -> None:
    assert open_sandbox().capabilities == REDUCED


def test_a_server_below_the_demanded_level_does_not_start() -> None:
    judge_sandbox(Settings(sandbox="reduced"))
    with pytest.raises(Invalid, match=r"demands the level 'full'.*namespaces are not allowed"):
        judge_sandbox(Settings(sandbox="full"))


def test_what_cannot_be_found_out_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def broken(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("probe", 1)

    monkeypatch.setattr(subprocess, "run", broken)
    capabilities = detection.detect()
    assert capabilities.level is SandboxLevel.NONE
    assert "could not be tried out" in capabilities.missing[0]
