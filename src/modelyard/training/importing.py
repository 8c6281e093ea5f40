"""Imports: a model that was made elsewhere becomes a version.

What was uploaded is opened, tried and converted by tasks in processes of their own. A task that
has run what the model holds is not believed: its answer is bounded and checked, and a graph that
it made is tried again by a process that has read nothing else.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

import modelyard
from modelyard.core.errors import (
    Invalid,
    ModelyardError,
    NotInstalled,
    StorageFull,
    UnsupportedFormat,
)
from modelyard.core.names import check_name
from modelyard.core.ports import Blobs, Store
from modelyard.core.tasks import KILLED, NO_SPACE, SPEC_FILE, Outcome, TaskRunner
from modelyard.core.trust import Trust
from modelyard.core.uploads import check_digest
from modelyard.registry.artifact import TRUST, Artifact, Format
from modelyard.registry.card import Card
from modelyard.registry.parity import Parity
from modelyard.registry.service import RegistryService
from modelyard.registry.version import IMPORT, Lineage, ModelVersion, NewVersion, VersionState
from modelyard.training.datasets import check_filename
from modelyard.training.engines import TRY_ENGINE, try_engines
from modelyard.training.opening import FILES, SAMPLE_FILE
from modelyard.training.outcomes import BROKEN, error_of, left_file, outcome_of, read_result
from modelyard.training.ports import TrainingTransaction
from modelyard.training.scratch import ScratchRoot
from modelyard.training.spec import ExamineSpec, InspectSpec
from modelyard.training.trained import Examined, Opened, check_examined

OPEN: Final = "open-model"
EXAMINE: Final = "examine-model"
UPLOADED_FILE: Final = "upload"
FEATURES_FILE: Final = "features.json"
MAX_DESCRIPTION: Final = 2000

_NOT_THE_FILES: Final = frozenset({UnsupportedFormat.code, NotInstalled.code, KILLED, NO_SPACE})
"""How trying a model can end without the model being at fault."""


class ImportOrder(msgspec.Struct, frozen=True):
    """What to import. `upload` and `sample` are digests of files that the tenant has uploaded."""

    upload: str
    filename: str
    description: str = ""
    sample: str | None = None

    def check(self) -> None:
        """Raises Invalid for a name, a digest or a description in the wrong form."""
        check_filename(self.filename)
        check_digest(self.upload)
        if self.sample is not None:
            check_digest(self.sample)
        if len(self.description) > MAX_DESCRIPTION:
            raise Invalid(f"description must be at most {MAX_DESCRIPTION} characters")


class BrokenFileError(Exception):
    """The file is no good, for a reason that its version is to keep."""


class ImportService:
    """Imports models. `runner` should have a time limit: callers wait for it.

    `admit_code` raises for a format that can execute code where that cannot be shut in.
    """

    def __init__(
        self,
        *,
        store: Store[TrainingTransaction],
        blobs: Blobs,
        runner: TaskRunner,
        scratch: ScratchRoot,
        registry: RegistryService,
        admit_code: Callable[[str], None],
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._runner = runner
        self._scratch = scratch
        self._registry = registry
        self._admit_code = admit_code

    def import_model(self, tenant_id: str, model: str, order: ImportOrder) -> ModelVersion:
        """Register an upload as the model's next version.

        A file of a supported format that cannot be read or tried becomes a version that has
        failed, with the reason. What is no model at all becomes none.

        Raises:
            NotFound: the tenant has uploaded no such file.
            UnsupportedFormat: another format, or one that can execute code where there is no
                sandbox; the message says what to do.
            Invalid: a bad name, or an archive that is refused.
            TooLarge: an archive over the limits.
            NotInstalled: the library of the format is missing on this server.
            StorageFull: the server's disk is full.
        """
        check_name("model", model)
        order.check()
        with self._store.read() as tx:
            uploads = tx.uploads(tenant_id)
            uploads.get(order.upload)
            if order.sample is not None:
                uploads.get(order.sample)
        try:
            new = self._new_version(order)
        except BrokenFileError as error:
            new = _failed(order, str(error))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StorageFull("the server has no room to open this file") from None
        return self._registry.register(tenant_id, model, new)

    def _new_version(self, order: ImportOrder) -> NewVersion:
        with self._scratch.folder() as opening, self._scratch.folder() as trying:
            opened = self._open(opening, order)
            if TRUST[opened.format] is Trust.CODE:
                self._admit_code(f"a model of the format '{opened.format}'")
            original = self._keep(opening, opened, order)
            left_file(opening, opened.file).rename(trying / original.name)
            sample = self._sample(opening, trying, opened, order)
            spec = ExamineSpec(
                original.name,
                order.filename,
                opened.format,
                sample=sample,
                optional=order.sample is None,
            )
            examined = self._try(trying, spec, order.filename)
            artifacts, examined = self._converted(trying, examined, order.filename)
        return NewVersion(
            signature=examined.signature,
            artifacts=(*artifacts, original),
            lineage=_lineage(order, examined.libraries, opened),
            card=msgspec.structs.replace(
                examined.card, description=order.description or examined.card.description
            ),
            parity=examined.parity,
            profile=examined.profile,
        )

    def _open(self, scratch: Path, order: ImportOrder) -> Opened:
        self._blobs.fetch(order.upload, scratch / UPLOADED_FILE)
        self._run(OPEN, scratch, InspectSpec(UPLOADED_FILE, order.filename), order.filename)
        return read_result(scratch, Opened)

    def _keep(self, scratch: Path, opened: Opened, order: ImportOrder) -> Artifact:
        """The model's file as an artifact. It is stored before anything could change it."""
        path = left_file(scratch, opened.file)
        digest = order.upload if opened.file == UPLOADED_FILE else self._blobs.put(path)
        return Artifact(FILES[opened.format], opened.format, digest, path.stat().st_size)

    def _sample(
        self, opening: Path, trying: Path, opened: Opened, order: ImportOrder
    ) -> str | None:
        """Put the rows to try it on beside the model; those of the order come first."""
        if order.sample is not None:
            self._blobs.fetch(order.sample, trying / SAMPLE_FILE)
        elif opened.sample:
            left_file(opening, opened.sample).rename(trying / SAMPLE_FILE)
        else:
            return None
        return SAMPLE_FILE

    def _try(self, scratch: Path, spec: ExamineSpec, filename: str) -> Examined:
        if spec.format is not Format.GGUF:
            return self._examine(scratch, spec, filename)

        def examine(with_engine: ExamineSpec) -> Examined:
            return self._examine(scratch, with_engine, filename, TRY_ENGINE)

        return try_engines(spec, examine, BrokenFileError)

    def _examine(
        self, scratch: Path, spec: ExamineSpec, filename: str, task: str = EXAMINE
    ) -> Examined:
        self._run(task, scratch, spec, filename)
        try:
            return check_examined(read_result(scratch, Examined))
        except ModelyardError as error:
            raise BrokenFileError(_naming(filename, error.message)) from None

    def _converted(
        self, trying: Path, examined: Examined, filename: str
    ) -> tuple[tuple[Artifact, ...], Examined]:
        """The ONNX form, if there is one and it holds on its own."""
        if not examined.graph:
            return (), examined
        with self._scratch.folder() as fresh:
            graph = fresh / FILES[Format.ONNX]
            left_file(trying, examined.graph).rename(graph)
            features = None
            if examined.features:
                features = FEATURES_FILE
                left_file(trying, examined.features).rename(fresh / features)
            spec = ExamineSpec(
                graph.name,
                filename,
                Format.ONNX,
                features=features,
                signature=examined.signature,
            )
            try:
                profile = self._examine(fresh, spec, filename).profile
            except BrokenFileError as error:
                parity = Parity(agreed=False, reason=f"its ONNX form cannot be used: {error}")
                return (), msgspec.structs.replace(examined, parity=parity)
            artifacts = [self._artifact(graph, Format.ONNX)]
            if features is not None:
                artifacts.append(self._artifact(fresh / features, Format.FEATURES))
        return tuple(artifacts), msgspec.structs.replace(examined, profile=profile)

    def _artifact(self, path: Path, format_: Format) -> Artifact:
        return Artifact(path.name, format_, self._blobs.put(path), path.stat().st_size)

    def _run(self, task: str, scratch: Path, spec: msgspec.Struct, filename: str) -> None:
        """Run a task to its end.

        Raises:
            BrokenFileError: the file cannot be read or tried.
            ModelyardError: it is not taken, or the server cannot do it.
        """
        (scratch / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
        outcome = outcome_of(self._runner, task, scratch)
        if outcome.ok:
            return
        error = error_of(outcome, f"file '{filename}'")
        if _is_the_files_fault(task, outcome):
            raise BrokenFileError(_naming(filename, error.message))
        raise error


def _is_the_files_fault(task: str, outcome: Outcome) -> bool:
    # An archive that is refused while it is opened is no version; a model that does not work is.
    return outcome.code in BROKEN if task == OPEN else outcome.code not in _NOT_THE_FILES


def _naming(filename: str, message: str) -> str:
    return message if filename in message else f"{filename}: {message}"


def _failed(order: ImportOrder, reason: str) -> NewVersion:
    return NewVersion(
        signature=None,
        artifacts=(),
        lineage=_lineage(order, {}, None),
        card=Card(task="imported", algorithm="", description=order.description),
        state=VersionState.FAILED,
        reason=reason,
    )


def _lineage(order: ImportOrder, libraries: dict[str, str], opened: Opened | None) -> Lineage:
    parameters = {"file": order.filename, "upload": order.upload}
    if opened is not None:
        parameters["origin"] = opened.origin
    return Lineage(
        source=IMPORT,
        code_version=modelyard.__version__,
        parameters=parameters,
        libraries=libraries,
    )
