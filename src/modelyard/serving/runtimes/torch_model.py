"""PyTorch networks: exported programs (`.pt2`) and TorchScript.

Both formats carry code: this runs in a sandbox only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Signature, Tensor, TensorSpec
from modelyard.serving.runtimes.answers import as_specified
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.function import FunctionModel, describe, uninterrupted
from modelyard.serving.runtimes.measuring import resident_bytes
from modelyard.serving.runtimes.torch_tensors import named, spec_of, to_numpy, to_torch

_EXPORT: str = "torch_export"


def load(folder: Path, manifest: RuntimeManifest) -> FunctionModel:
    """Load a network, on one thread: requests, not operators, are what runs in parallel.

    Raises:
        CannotLoad: PyTorch does not take the file.
        UnsupportedFormat: it takes or gives something else than tensors of the protocol's types.
    """
    before = resident_bytes()
    torch.set_num_threads(1)
    open_network = _exported if manifest.format == _EXPORT else _scripted
    # Deprecations of the file's format, and of the network's own code, are not the server's.
    warnings.simplefilter("ignore")
    network = open_network(manifest.path(folder))
    signature = manifest.signature or network.signature
    answer = uninterrupted(NetworkAnswer(network, signature))
    return FunctionModel(
        answer, signature, native=network, kind=network.kind, before=before, notes=network.notes
    )


class Network:
    """A network behind its named tensors.

    `call` takes the tensors in the order of `inputs`, which is empty if the file does not tell.
    `signature` is what the file tells, `program` PyTorch's own object.
    """

    def __init__(
        self,
        program: Any,
        call: Callable[[Sequence[torch.Tensor]], Any],
        inputs: Sequence[str],
        signature: Signature | None,
        kind: str,
    ) -> None:
        self.program = program
        self.inputs = tuple(inputs)
        self.signature = signature
        self.kind = kind
        self.notes: tuple[str, ...] = ()
        self._call = call

    def answer(self, tensors: Sequence[torch.Tensor]) -> dict[str, Any]:
        """Outputs by name."""
        with torch.inference_mode():
            return named(self._call(tensors))


class NetworkAnswer:
    """What a network answers, in the tensors of the signature."""

    def __init__(self, network: Network, signature: Signature | None) -> None:
        self._network = network
        self._signature = signature

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        known = self._signature
        order = [spec.name for spec in known.inputs] if known else self._network.inputs
        if set(order) != set(inputs):
            # Nothing tells the inputs' names but the caller's order.
            order = list(inputs)
        if len(order) != len(self._network.inputs):
            raise Invalid(f"the network takes {len(self._network.inputs)} inputs, not {len(order)}")
        answer = to_numpy(self._network.answer([to_torch(inputs[name]) for name in order]))
        return answer if known is None else as_specified(answer, known.outputs)


def _exported(path: Path) -> Network:
    try:
        program = torch.export.load(path)
    except Exception as error:  # noqa: BLE001 - it raises whatever the file makes it raise
        raise CannotLoad(
            f"PyTorch does not load it as an exported program: {describe(error)}"
        ) from None
    inputs, constants = _user_inputs(program)
    module = program.module(check_guards=True)
    count = len(inputs) + len(constants)

    def call(tensors: Sequence[torch.Tensor]) -> Any:
        given = iter(tensors)
        flat = [constants[at] if at in constants else next(given) for at in range(count)]
        args, kwargs = pytree.tree_unflatten(flat, program.call_spec.in_spec)
        return module(*args, **kwargs)

    names = [spec.name for spec in inputs]
    network = Network(program, call, names, None, "torch.export")
    network.signature = Signature(tuple(inputs), _outputs(program))
    if any(spec.shape[:1] not in ((-1,), ()) for spec in inputs):
        network.notes = (
            "it was exported for batches of one size only; export it with dynamic_shapes to have "
            "requests of any number of rows answered, and several in one call",
        )
    return network


def _user_inputs(program: Any) -> tuple[list[TensorSpec], dict[int, Any]]:
    """The tensors to be given, and what else the network was exported with, by place."""
    imagined = {n.name: n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder"}
    specs, constants = [], {}
    user = [one for one in program.graph_signature.input_specs if one.kind.name == "USER_INPUT"]
    for place, one in enumerate(user):
        like = imagined.get(one.arg.name)
        if isinstance(like, torch.Tensor):
            specs.append(spec_of(one.arg.name, like))
        else:
            constants[place] = getattr(one.arg, "value", None)
    return specs, constants


def _outputs(program: Any) -> tuple[TensorSpec, ...]:
    """The outputs under the names of a dict, if the network gives one."""
    (last,) = (node for node in program.graph.nodes if node.op == "output")
    user = {
        one.arg.name
        for one in program.graph_signature.output_specs
        if one.kind.name == "USER_OUTPUT"
    }
    given = [node.meta["val"] for node in last.args[0] if getattr(node, "name", None) in user]
    answer = pytree.tree_unflatten(given, program.call_spec.out_spec)
    return tuple(spec_of(name, like) for name, like in named(answer).items())


def _scripted(path: Path) -> Network:
    try:
        module = torch.jit.load(str(path), map_location="cpu")
    except Exception as error:  # noqa: BLE001 - it raises whatever the file makes it raise
        raise CannotLoad(f"PyTorch does not load it as TorchScript: {describe(error)}") from None
    module.eval()
    if not hasattr(module, "forward"):
        raise CannotLoad("the TorchScript module has no method 'forward'")
    arguments = module.forward.schema.arguments[1:]
    names = [one.name for one in arguments if not one.has_default_value()]
    kind = f"torchscript {getattr(module, 'original_name', '')}".strip()
    return Network(module, lambda tensors: module(*tensors), names, None, kind)
