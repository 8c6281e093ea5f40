"""The contract between a replica and the libraries that run models.

Each library has one module beside this one with a function `load`; `catalogue` finds it by format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

import msgspec

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tensors import Signature, Tensor
from modelyard.serving.options import LanguageOptions
from modelyard.serving.ports import Runtime
from modelyard.serving.stopping import StopSignal

MODEL: Final = "model"
"""The role of the main file, or of the folder of a custom Python model."""
FEATURES: Final = "features"
"""The role of the text features beside an ONNX graph."""


class CannotLoad(ModelyardError):
    """The version's files cannot be made into a model that runs."""

    code = "cannot_load"


class LanguageManifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a language model is to be run. `engines` are those known to load it, the best first."""

    options: LanguageOptions = LanguageOptions()
    engines: tuple[str, ...] = ()


class RuntimeManifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a replica is told of a version.

    `format` is one of the registry's names. `files` maps a role to a path beneath the folder.
    `signature` is what the version was registered with; None while nothing but the file can tell.
    `language` is for language models alone.
    """

    format: str
    files: Mapping[str, str]
    signature: Signature | None = None
    options: Mapping[str, str] = {}
    language: LanguageManifest | None = None

    def path(self, folder: Path, role: str = MODEL) -> Path:
        """Where the file of this role is.

        Raises:
            CannotLoad: there is none.
            Invalid: the manifest names something outside the folder.
        """
        name = self.files.get(role)
        if name is None:
            raise CannotLoad(f"the version has no file for '{role}'")
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise Invalid(f"the file for '{role}' must lie beneath the version's folder")
        path = folder / relative
        if not path.exists():
            raise CannotLoad(f"the version's file '{relative.name[:80]}' is missing")
        return path


class LoadedModel(Runtime, Protocol):
    """A model in this process, ready to be asked. `infer` is that of `serving.ports.Runtime`.

    `signature` is the manifest's, or else what the file itself tells; None if neither says.
    `kind` names what it is: an estimator's class, an objective, `onnx`.
    `memory_bytes` is what loading it took. `streams` says whether `stream` gives more than one
    part. `notes` are what its publisher should know of it, a sentence each.
    """

    signature: Signature | None
    kind: str
    notes: tuple[str, ...]
    memory_bytes: int
    streams: bool

    def stream(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """The outputs in parts, as they come.

        Raises:
            Invalid: the model refuses these values, or does not stream.
        """
        ...

    def unload(self) -> None:
        """Let go of everything; nothing is called after this."""
        ...


ModelRuntime = Callable[[Path, RuntimeManifest], LoadedModel]
"""`load(folder, manifest)` of one library.

It raises CannotLoad when the files are no model that this library takes, and NotInstalled when the
library is missing.
"""
