"""Keras networks: `.keras` files and the older HDF5 ones, on PyTorch.

A Lambda layer is code, and a custom class asks for some: this runs in a sandbox only.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelyard.core.errors import UnsupportedFormat
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.runtimes.answers import as_specified
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.function import FunctionModel, describe, uninterrupted
from modelyard.serving.runtimes.measuring import resident_bytes
from modelyard.serving.runtimes.torch_tensors import named, to_numpy, to_torch

# Keras reads these when it is imported. It would make a folder in the home for its settings.
os.environ["KERAS_BACKEND"] = "torch"
os.environ.setdefault("KERAS_HOME", os.path.devnull)

import keras
import torch

_DATATYPES: Mapping[str, Datatype] = {
    "bool": Datatype.BOOL,
    "uint8": Datatype.UINT8,
    "int8": Datatype.INT8,
    "int16": Datatype.INT16,
    "int32": Datatype.INT32,
    "int64": Datatype.INT64,
    "float16": Datatype.FP16,
    "float32": Datatype.FP32,
    "float64": Datatype.FP64,
}


def load(folder: Path, manifest: RuntimeManifest) -> FunctionModel:
    """Load a network, on one thread.

    Raises:
        CannotLoad: Keras does not take the file, or it was saved before it was built.
        UnsupportedFormat: it takes or gives a type that the protocol has not.
    """
    before = resident_bytes()
    torch.set_num_threads(1)
    # Deprecations of the file's format are not the server's.
    warnings.simplefilter("ignore")
    network = KerasNetwork(_read(manifest.path(folder), manifest.format))
    signature = manifest.signature or network.signature()
    network.specify(signature)
    return FunctionModel(
        uninterrupted(network.answer),
        signature,
        native=network,
        kind=f"keras {type(network.model).__name__}",
        before=before,
    )


_SUFFIXES: Mapping[str, str] = {"keras": ".keras", "keras_h5": ".h5"}


def _read(path: Path, format_: str) -> Any:
    suffix = _SUFFIXES[format_]
    if path.suffix != suffix:
        # Keras decides by the name.
        raise CannotLoad(f"the file of a model of the format '{format_}' must end in {suffix}")
    try:
        # The sandbox is what keeps Lambda layers from doing harm.
        return keras.saving.load_model(path, compile=False, safe_mode=False)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - it raises whatever the file makes it raise
        raise CannotLoad(f"Keras does not load it: {describe(error)}") from None


class KerasNetwork:
    """A network behind named tensors. `specify` comes before `answer`."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._inputs: tuple[TensorSpec, ...] = ()
        self._outputs: tuple[TensorSpec, ...] = ()

    def specify(self, signature: Signature) -> None:
        """Take and give the tensors of this signature."""
        self._inputs, self._outputs = signature.inputs, signature.outputs

    def signature(self) -> Signature:
        """What the network says of itself; its structure names the tensors, where it has names."""
        inputs = getattr(self.model, "inputs", None)
        outputs = getattr(self.model, "outputs", None)
        if not inputs or not outputs:
            raise CannotLoad(
                "the network does not say what it takes and gives; build it from keras.Input, or "
                "call it once before it is saved"
            )
        return Signature(
            tuple(_spec(tensor.name, tensor) for tensor in inputs),
            tuple(
                _spec(name, tensor)
                for name, tensor in zip(self.output_names(), outputs, strict=True)
            ),
        )

    def output_names(self) -> list[str]:
        """Of a dict its keys, of a list the layers' names, of a single output `output`."""
        outputs = self.model.outputs
        structure = getattr(self.model, "_outputs_struct", None)
        if isinstance(structure, dict):
            by_tensor = {id(tensor): name for name, tensor in structure.items()}
            return [by_tensor[id(tensor)] for tensor in outputs]
        names = list(getattr(self.model, "output_names", None) or ())
        if len(outputs) > 1 and len(set(names)) == len(outputs):
            return names
        return ["output"] if len(outputs) == 1 else [f"output_{n}" for n in range(len(outputs))]

    def answer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of the signature."""
        tensors = [to_torch(inputs[spec.name]) for spec in self._inputs]
        with torch.inference_mode():
            return as_specified(to_numpy(self.call(tensors)), self._outputs)

    def call(self, tensors: Sequence[Any]) -> dict[str, Any]:
        """Outputs by name. `tensors` are in the order of the network's inputs."""
        structure = getattr(self.model, "_inputs_struct", None)
        given: Any = list(tensors)
        if isinstance(structure, dict):
            names = {id(tensor): name for name, tensor in structure.items()}
            given = {
                names[id(tensor)]: value
                for tensor, value in zip(self.model.inputs, tensors, strict=True)
            }
        elif len(tensors) == 1:
            (given,) = tensors
        return named(self.model(given, training=False), self.output_names())


def _spec(name: str, tensor: Any) -> TensorSpec:
    datatype = _DATATYPES.get(str(tensor.dtype))
    if datatype is None:
        raise UnsupportedFormat(
            f"'{name}' is {tensor.dtype}, which cannot be served; use float32, or put what turns "
            "strings into numbers in front of the network"
        )
    return TensorSpec(name, datatype, tuple(-1 if n is None else int(n) for n in tensor.shape))
