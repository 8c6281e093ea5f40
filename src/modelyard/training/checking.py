"""Checking a model as an import would, without a server and without keeping anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tasks import SPEC_FILE, TaskRunner
from modelyard.core.trust import Trust
from modelyard.registry.archives import pack
from modelyard.registry.artifact import TRUST, Format
from modelyard.training.engines import TRY_ENGINE, try_engines
from modelyard.training.importing import EXAMINE, OPEN, UPLOADED_FILE
from modelyard.training.opening import SAMPLE_FILE
from modelyard.training.outcomes import error_of, left_file, outcome_of, read_result
from modelyard.training.spec import ExamineSpec, InspectSpec
from modelyard.training.trained import Examined, Opened, check_examined

LOG_FILE: Final = "log.txt"
"""What a task prints, in its scratch folder."""
MAX_LOG: Final = 4000
"""Characters."""


class Checked(msgspec.Struct, frozen=True):
    """What an import would find. `printed` is the end of what the model's code has printed."""

    format: Format
    examined: Examined
    printed: str = ""


class CheckFailedError(Exception):
    """The model is no good for `error`; `printed` is the end of what its code has printed."""

    def __init__(self, error: ModelyardError, printed: str) -> None:
        super().__init__(error.message)
        self.error = error
        self.printed = printed


class ModelChecker:
    """Checks models in two empty folders, one for each step.

    `admit_code` raises for a format that can execute code where that cannot be shut in.
    """

    def __init__(self, runner: TaskRunner, admit_code: Callable[[str], None]) -> None:
        self._runner = runner
        self._admit_code = admit_code

    def check(self, path: Path, sample: Path | None, opening: Path, trying: Path) -> Checked:
        """Open, load and ask the model; `path` is a file, an archive or a folder.

        Raises:
            Invalid: there is nothing there.
            UnsupportedFormat: this machine cannot shut in what the file can execute.
            CheckFailedError: what an import would say.
        """
        upload = opening / UPLOADED_FILE
        if path.is_dir():
            pack(path, upload)
        elif path.is_file():
            shutil.copyfile(path, upload)
        else:
            raise Invalid(f"there is no file or folder {path}")
        name = path.resolve().name
        self._run(OPEN, opening, InspectSpec(UPLOADED_FILE, name), name)
        opened = read_result(opening, Opened)
        if TRUST[opened.format] is Trust.CODE:
            self._admit_code(f"a model of the format '{opened.format}'")
        file = left_file(opening, opened.file).rename(trying / opened.file)
        rows = self._sample(sample, opening, trying, opened)
        spec = ExamineSpec(file.name, name, opened.format, sample=rows)
        if opened.format is Format.GGUF:

            def examine(with_engine: ExamineSpec) -> Examined:
                return self._examine(TRY_ENGINE, trying, with_engine, name)

            examined = try_engines(spec, examine, CheckFailedError)
        else:
            examined = self._examine(EXAMINE, trying, spec, name)
        return Checked(opened.format, examined, _printed(trying))

    def _examine(self, task: str, scratch: Path, spec: ExamineSpec, name: str) -> Examined:
        self._run(task, scratch, spec, name)
        return check_examined(read_result(scratch, Examined))

    def _sample(
        self, sample: Path | None, opening: Path, trying: Path, opened: Opened
    ) -> str | None:
        if sample is not None:
            if not sample.is_file():
                raise Invalid(f"there is no file {sample}")
            shutil.copyfile(sample, trying / SAMPLE_FILE)
        elif opened.sample:
            left_file(opening, opened.sample).rename(trying / SAMPLE_FILE)
        else:
            return None
        return SAMPLE_FILE

    def _run(self, task: str, scratch: Path, spec: msgspec.Struct, name: str) -> None:
        (scratch / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
        outcome = outcome_of(self._runner, task, scratch)
        if not outcome.ok:
            raise CheckFailedError(error_of(outcome, f"'{name}'"), _printed(scratch))


def _printed(scratch: Path) -> str:
    path = scratch / LOG_FILE
    if not path.is_file() or path.is_symlink():
        return ""
    return path.read_text("utf-8", errors="replace")[-MAX_LOG:].strip()
