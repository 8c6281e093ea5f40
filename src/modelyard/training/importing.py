"""Imports: a model that was made elsewhere becomes a version."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

import modelyard
from modelyard.core.errors import Invalid
from modelyard.core.names import check_name
from modelyard.core.ports import Blobs, Store
from modelyard.core.tasks import SPEC_FILE, TaskRunner
from modelyard.core.uploads import check_digest
from modelyard.registry.artifact import Artifact, Format
from modelyard.registry.detection import HEAD_BYTES, refuse_other_than_onnx
from modelyard.registry.service import RegistryService
from modelyard.registry.version import Lineage, ModelVersion, NewVersion
from modelyard.training.datasets import check_filename
from modelyard.training.outcomes import read_result, run_to_end
from modelyard.training.ports import TrainingTransaction
from modelyard.training.scratch import ScratchRoot
from modelyard.training.spec import ImportSpec
from modelyard.training.trained import Imported

IMPORT: Final = "import-onnx"
MODEL_FILE: Final = "model.onnx"
MAX_DESCRIPTION: Final = 2000


class ImportService:
    """Imports models. `runner` should have a time limit: callers wait for it."""

    def __init__(
        self,
        *,
        store: Store[TrainingTransaction],
        blobs: Blobs,
        runner: TaskRunner,
        scratch: ScratchRoot,
        registry: RegistryService,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._runner = runner
        self._scratch = scratch
        self._registry = registry

    def import_model(
        self, tenant_id: str, model: str, upload: str, filename: str, description: str = ""
    ) -> ModelVersion:
        """Validate an uploaded ONNX file and register it as the model's next version.

        `upload` is the digest of a file that the tenant has uploaded.

        Raises:
            NotFound: the tenant has uploaded no such file.
            UnsupportedFormat: another format; for formats that hold code, the message says so.
            Invalid: a bad name, or an ONNX file that cannot be served: the message says why.
            TooLarge: reading it takes more time or memory than there is.
        """
        check_name("model", model)
        check_filename(filename)
        check_digest(upload)
        if len(description) > MAX_DESCRIPTION:
            raise Invalid(f"description must be at most {MAX_DESCRIPTION} characters")
        with self._store.read() as tx:
            file = tx.uploads(tenant_id).get(upload)
        with self._scratch.folder() as scratch:
            imported = self._validate(scratch, upload, filename)
        new = NewVersion(
            signature=imported.signature,
            artifacts=(Artifact(MODEL_FILE, Format.ONNX, upload, file.size),),
            lineage=Lineage(
                source="import",
                code_version=modelyard.__version__,
                libraries=imported.libraries,
            ),
            card=msgspec.structs.replace(
                imported.card, description=description or imported.card.description
            ),
        )
        return self._registry.register(tenant_id, model, new)

    def _validate(self, scratch: Path, digest: str, filename: str) -> Imported:
        path = scratch / MODEL_FILE
        self._blobs.fetch(digest, path)
        with path.open("rb") as file:
            refuse_other_than_onnx(file.read(HEAD_BYTES))
        spec = ImportSpec(file=MODEL_FILE, filename=filename)
        (scratch / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
        run_to_end(self._runner, IMPORT, scratch, f"file '{filename}'")
        return read_result(scratch, Imported)
