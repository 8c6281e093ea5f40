"""Custom models: a folder, or a ZIP of it, with a subclass of `modelyard.model.Model`.

Loading one executes its code: this runs in a sandbox only.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec
import numpy as np
from packaging.requirements import InvalidRequirement, Requirement

from modelyard.core.errors import Invalid, ModelFailed, ModelyardError, NotInstalled
from modelyard.core.tensors import NUMPY, Datatype, Signature, Tensor, TensorSpec
from modelyard.model import Model
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.function import describe
from modelyard.serving.runtimes.measuring import measure, resident_bytes
from modelyard.serving.stopping import StopSignal

CODE_FILE: Final = "model.py"
DECLARATION: Final = "modelyard.toml"
CLASS: Final = "class"
"""The option that names the class, as `module:Class`, if the folder does not."""


class _Declared(msgspec.Struct, forbid_unknown_fields=True, rename={"class_path": "class"}):
    """The table `[model]` of `modelyard.toml`."""

    class_path: str = ""
    dependencies: tuple[str, ...] = ()
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


class _Declaration(msgspec.Struct, forbid_unknown_fields=True):
    model: _Declared = msgspec.field(default_factory=_Declared)


def load(folder: Path, manifest: RuntimeManifest) -> CustomModel:
    """Import the model's class, make one and have it load.

    Raises:
        CannotLoad: what is wrong with the folder or its code, and where.
        NotInstalled: a dependency is missing, or is another release than it asks for.
    """
    before = resident_bytes()
    home = _unpacked(manifest.path(folder))
    declared = _declaration(home)
    _check_installed(declared.dependencies)
    found = _find_class(home, manifest.options.get(CLASS) or declared.class_path)
    _check_installed(found.dependencies)
    signature = manifest.signature or _signature(found, declared)
    try:
        model = found()
        model.load(home)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the model's own code
        raise CannotLoad(f"{found.__name__}.load failed: {_located(error, home)}") from None
    return CustomModel(model, signature, home, before)


def _unpacked(path: Path) -> Path:
    """The folder; a ZIP is unpacked where the sandbox lets this process write."""
    if path.is_dir():
        return path
    target = Path(tempfile.mkdtemp(prefix="model-"))
    try:
        with zipfile.ZipFile(path) as archive:
            # The import has packed it, and the sandbox bounds what it can do here.
            archive.extractall(target)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise CannotLoad(f"the model's archive cannot be unpacked: {describe(error)}") from None
    return target


def _declaration(home: Path) -> _Declared:
    path = home / DECLARATION
    if not path.is_file():
        return _Declared()
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        return msgspec.convert(content, _Declaration).model
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise CannotLoad(f"{DECLARATION}: {error}") from None


def _check_installed(dependencies: tuple[str, ...]) -> None:
    for text in dependencies:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            raise CannotLoad(
                f"the dependency {text[:80]!r} must be written as in 'scikit-learn>=1.5'"
            ) from None
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            installed = version(wanted.name)
        except PackageNotFoundError:
            raise NotInstalled(
                f"the model needs '{text}', which is not installed; nothing is installed for a "
                "model: have it installed beside the server"
            ) from None
        if not wanted.specifier.contains(installed, prereleases=True):
            raise NotInstalled(
                f"the model needs '{text}', and {wanted.name} {installed} is installed"
            )


def _find_class(home: Path, class_path: str) -> type[Model]:
    name, _, wanted = (class_path or CODE_FILE.removesuffix(".py")).partition(":")
    module = _import(home, name)
    if wanted:
        found = getattr(module, wanted, None)
        if not (inspect.isclass(found) and issubclass(found, Model)):
            raise CannotLoad(f"there is no subclass of modelyard.model.Model '{class_path[:80]}'")
        return found
    classes = [
        one
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, Model) and one.__module__ == module.__name__
    ]
    if len(classes) != 1:
        names = ", ".join(one.__name__ for one in classes) or "none"
        raise CannotLoad(
            f"{name}.py must hold one subclass of modelyard.model.Model, and it holds {names}; "
            f'with several, name one in {DECLARATION}: class = "{name}:Class"'
        )
    return classes[0]


def _import(home: Path, name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise CannotLoad(f"the class must be named as in 'model:MyModel', not {name[:80]!r}")
    sys.path.insert(0, str(home))
    try:
        module = importlib.import_module(name)
    except MemoryError:
        raise
    except ModuleNotFoundError as error:
        if error.name == name:
            raise CannotLoad(f"the folder has no file {name.replace('.', '/')}.py") from None
        raise NotInstalled(
            f"{name}.py imports '{error.name}', which is neither in the folder nor installed"
        ) from None
    except Exception as error:  # noqa: BLE001 - the model's own code
        raise CannotLoad(f"{name}.py cannot be imported: {_located(error, home)}") from None
    if not Path(module.__file__ or "").is_relative_to(home):
        raise CannotLoad(f"the module '{name}' has the name of an installed one; call it otherwise")
    return module


def _signature(found: type[Model], declared: _Declared) -> Signature:
    signature: Any = found.signature
    if signature is None and declared.inputs and declared.outputs:
        signature = Signature(declared.inputs, declared.outputs)
    if not isinstance(signature, Signature) or not signature.inputs or not signature.outputs:
        raise CannotLoad(
            f"{found.__name__} declares no signature: set 'signature' in the class, or inputs and "
            f"outputs in {DECLARATION}"
        )
    return signature


def _located(error: BaseException, home: Path) -> str:
    """The error, and the last line of the model's own code that it went through."""
    place, trace = "", error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(home):
            place = f" ({path.relative_to(home)}, line {trace.tb_lineno})"
        trace = trace.tb_next
    text = describe(error) if isinstance(error, Exception) else type(error).__name__
    return text + place


class CustomModel:
    """A `LoadedModel` around somebody's class. What it answers is checked by its signature."""

    def __init__(self, model: Model, signature: Signature, home: Path, before: int) -> None:
        self._model: Model | None = model
        self._home = home
        self.signature: Signature | None = signature
        self.kind = type(model).__name__
        self.notes: tuple[str, ...] = ()
        self.streams = type(model).stream is not Model.stream
        self.call_seconds = 0.0
        self.row_seconds = 0.0
        self.stackable = False
        self._outputs = signature.outputs
        measure(self, signature)
        self.memory_bytes = max(0, resident_bytes() - before)

    def infer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        """Have the model answer.

        Raises:
            Invalid: it refuses these values, by an Invalid or a ValueError of its own.
            ModelFailed: it fails, or answers otherwise than its signature says.
        """
        try:
            answer = self._loaded().predict(inputs)
        except (ModelyardError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - the model's own code
            raise self._failed("predict", error) from None
        return self._checked(answer)

    def stream(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """Have the model answer in parts; `stop` ends it between two of them."""
        parts = iter(self._loaded().stream(inputs))
        while stop is None or not stop.is_set:
            try:
                part = next(parts)
            except StopIteration:
                return
            except (ModelyardError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - the model's own code
                raise self._failed("stream", error) from None
            yield self._checked(part)

    def unload(self) -> None:
        """Let go of the model."""
        self._model = None

    def _loaded(self) -> Model:
        if self._model is None:
            raise Invalid("the model is unloaded")
        return self._model

    def _failed(self, method: str, error: Exception) -> ModelyardError:
        if isinstance(error, ValueError):
            return Invalid(f"the model refused the input: {describe(error)}")
        return ModelFailed(f"{self.kind}.{method} failed: {_located(error, self._home)}")

    def _checked(self, answer: Any) -> dict[str, Tensor]:
        if not isinstance(answer, Mapping):
            raise ModelFailed(
                f"{self.kind} must answer a dict of arrays, not a {type(answer).__name__}"
            )
        checked = {}
        for spec in self._outputs:
            if spec.name not in answer:
                raise ModelFailed(f"{self.kind} gives no output '{spec.name}', which it declares")
            checked[spec.name] = self._tensor(answer[spec.name], spec)
        return checked

    def _tensor(self, value: Any, spec: TensorSpec) -> Tensor:
        tensor = np.asarray(value)
        if spec.datatype is Datatype.BYTES:
            strings = [one if isinstance(one, str) else str(one) for one in tensor.ravel()]
            tensor = np.array(strings, np.object_).reshape(tensor.shape)
        elif tensor.dtype.kind in "biuf":
            tensor = np.ascontiguousarray(tensor, NUMPY.get(spec.datatype))
        else:
            raise ModelFailed(
                f"output '{spec.name}' of {self.kind} holds {tensor.dtype}, no numbers"
            )
        if not spec.fits(tensor.shape):
            raise ModelFailed(
                f"output '{spec.name}' of {self.kind} has shape {list(tensor.shape)}; it declares "
                f"{list(spec.shape)}"
            )
        return tensor
