"""An ONNX file from elsewhere: is it one, can it be served, and what does it take and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelyard.core.errors import TooLarge, UnsupportedFormat
from modelyard.core.tensors import NUMPY, Datatype, Signature, Tensor, TensorSpec
from modelyard.registry.archives import Damaged
from modelyard.registry.card import Card
from modelyard.serving.runtimes.contract import CannotLoad
from modelyard.serving.runtimes.onnx import open_session
from modelyard.training.conversion.external_data import has_external_data
from modelyard.training.source import Source
from modelyard.training.trained import Imported

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, NodeArg

MAX_BYTES: Final = 2**31 - 1
"""A Protocol Buffers message can be no larger."""
MAX_TENSORS: Final = 1000
MAX_CANARY: Final = 50_000_000
"""Elements of the canary's inputs."""

_DATATYPES: Final[Mapping[str, Datatype]] = {
    "tensor(bool)": Datatype.BOOL,
    "tensor(uint8)": Datatype.UINT8,
    "tensor(uint16)": Datatype.UINT16,
    "tensor(uint32)": Datatype.UINT32,
    "tensor(uint64)": Datatype.UINT64,
    "tensor(int8)": Datatype.INT8,
    "tensor(int16)": Datatype.INT16,
    "tensor(int32)": Datatype.INT32,
    "tensor(int64)": Datatype.INT64,
    "tensor(float16)": Datatype.FP16,
    "tensor(float)": Datatype.FP32,
    "tensor(double)": Datatype.FP64,
    "tensor(string)": Datatype.BYTES,
}


_COMPANIONS: Final[Mapping[str, str]] = {
    "input_ids": "it takes tokens; a folder of it and its tokenizer.json takes texts",
    "pixel_values": "it takes pixels; a folder of it and its preprocessor_config.json takes "
    "pictures",
}


def import_file(path: Path, filename: str) -> Imported:
    """Read the file as ONNX, derive its signature and try it on zeros.

    Raises:
        UnsupportedFormat: it keeps tensors in other files, or takes or gives a type that the
            protocol has not; the message says what would do.
        Damaged: it is no whole message.
        Invalid: it is ONNX that cannot be loaded.
        TooLarge: over the bounds.
    """
    source = Source.called(path, filename)
    graph = _read(source)
    try:
        session = open_session(graph)
    except CannotLoad as error:
        raise source.invalid(error.message) from None
    signature = Signature(
        _specs(source, "input", session.get_inputs()),
        _specs(source, "output", session.get_outputs()),
    )
    warnings = (*_canary(session, signature), *_companions(signature))
    return Imported(signature, _card(session, warnings), {"onnxruntime": version("onnxruntime")})


def _read(source: Source) -> bytes:
    size = source.path.stat().st_size
    if size > MAX_BYTES:
        raise TooLarge(f"{source.name}: {size} bytes; an ONNX file has at most {MAX_BYTES}")
    data = source.path.read_bytes()
    if not data:
        raise source.invalid("the file is empty")
    try:
        external = has_external_data(data)
    except ValueError as error:
        raise Damaged(f"{source.name}: the ONNX file is cut off or damaged ({error})") from None
    if external:
        raise UnsupportedFormat(
            f"{source.name}: it keeps weights in other files; save it as one file "
            "(onnx.save_model with save_as_external_data=False)"
        )
    return data


def _specs(source: Source, side: str, nodes: Sequence[NodeArg]) -> tuple[TensorSpec, ...]:
    if len(nodes) > MAX_TENSORS:
        raise TooLarge(f"{source.name}: {len(nodes)} {side}s; at most {MAX_TENSORS} are served")
    return tuple(_spec(source, side, node) for node in nodes)


def _spec(source: Source, side: str, node: NodeArg) -> TensorSpec:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise UnsupportedFormat(
            f"{source.name}: {side} '{node.name[:80]}' is a {node.type}, which cannot be served; "
            f"{_remedy(node.type)}"
        )
    free = (size if isinstance(size, int) and size >= 0 else -1 for size in node.shape)
    return TensorSpec(node.name, datatype, tuple(free))


def _remedy(kind: str) -> str:
    if kind.startswith("seq(map("):
        return "convert it again with the option zipmap=False (skl2onnx), which gives a tensor"
    if kind.startswith(("seq(", "optional(", "map(")):
        return "export a graph that takes and gives tensors only"
    return "cast it to FP32 in the graph"


def _canary(session: InferenceSession, signature: Signature) -> tuple[str, ...]:
    """One call on zeros, free sizes being one: what the card should warn of."""
    shapes = [tuple(max(size, 1) if size else 0 for size in s.shape) for s in signature.inputs]
    if sum(int(np.prod(shape, dtype=np.float64)) for shape in shapes) > MAX_CANARY:
        return ("it was not tried: its inputs are too large for a trial",)
    inputs = {
        spec.name: _zeros(spec.datatype, shape)
        for spec, shape in zip(signature.inputs, shapes, strict=True)
    }
    try:
        outputs = session.run(None, inputs)
    except Exception as error:  # noqa: BLE001 - its errors share no base but Exception
        reason = str(error).strip().partition("\n")[0][:300]
        return (f"a trial on zeros failed, which real inputs may not: {reason}",)
    return tuple(_surprises(signature, outputs))


def _companions(signature: Signature) -> list[str]:
    """What the graph could take if it came in a folder with another file."""
    names = {spec.name for spec in signature.inputs}
    return [remark for name, remark in _COMPANIONS.items() if name in names]


def _surprises(signature: Signature, outputs: Sequence[Any]) -> list[str]:
    lines = []
    for spec, output in zip(signature.outputs, outputs, strict=True):
        if not spec.fits(output.shape):
            lines.append(
                f"output '{spec.name}' says its shape is {list(spec.shape)} "
                f"but had {list(output.shape)} in a trial on zeros"
            )
        elif output.dtype.kind == "f" and not np.isfinite(output).all():
            lines.append(f"output '{spec.name}' was not finite in a trial on zeros")
    return lines


def _zeros(datatype: Datatype, shape: tuple[int, ...]) -> Tensor:
    if datatype is Datatype.BYTES:
        return np.full(shape, "", dtype=np.object_)
    return np.zeros(shape, NUMPY[datatype])


def _card(session: InferenceSession, warnings: tuple[str, ...]) -> Card:
    told = session.get_modelmeta()
    return Card(
        task="imported",
        algorithm=(told.producer_name or "onnx")[:200],
        warnings=warnings,
        description=told.description[:2000],
    )
