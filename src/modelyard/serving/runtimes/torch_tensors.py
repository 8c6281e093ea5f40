"""Between numpy and PyTorch: types, specifications, and names for what a network answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch

from modelyard.core.errors import UnsupportedFormat
from modelyard.core.tensors import Datatype, Tensor, TensorSpec

OUTPUT: Final = "output"

_DATATYPES: Final[Mapping[torch.dtype, Datatype]] = {
    torch.bool: Datatype.BOOL,
    torch.uint8: Datatype.UINT8,
    torch.int8: Datatype.INT8,
    torch.int16: Datatype.INT16,
    torch.int32: Datatype.INT32,
    torch.int64: Datatype.INT64,
    torch.float16: Datatype.FP16,
    torch.float32: Datatype.FP32,
    torch.float64: Datatype.FP64,
}


def spec_of(name: str, like: Any) -> TensorSpec:
    """Describe a tensor, real or imagined; sizes that are symbols are free.

    Raises:
        UnsupportedFormat: its type has no counterpart in the protocol.
    """
    datatype = _DATATYPES.get(like.dtype)
    if datatype is None:
        raise UnsupportedFormat(
            f"'{name}' is {like.dtype}, which cannot be served; convert the network to float32"
        )
    return TensorSpec(name, datatype, tuple(n if isinstance(n, int) else -1 for n in like.shape))


def to_torch(tensor: Tensor) -> torch.Tensor:
    """A tensor of its own memory: networks may write into what they are given."""
    return torch.from_numpy(np.array(tensor))


def to_numpy(answer: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's outputs as arrays."""
    return {name: value.detach().cpu().numpy() for name, value in answer.items()}


def named(answer: Any, names: Sequence[str] = ()) -> dict[str, Any]:
    """A network's answer by name: a dict's own, else `names`, else `output` or `output_<place>`.

    Raises:
        UnsupportedFormat: it holds something that is no tensor.
    """
    if isinstance(answer, Mapping):
        found = {str(name): value for name, value in answer.items()}
    elif isinstance(answer, list | tuple):
        own = names if len(names) == len(answer) else output_names(len(answer))
        found = dict(zip(own, answer, strict=True))
    else:
        found = {names[0] if len(names) == 1 else OUTPUT: answer}
    for name, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise UnsupportedFormat(
                f"output '{name}' is a {type(value).__name__}; only tensors are served: a tensor, "
                "a tuple or a dict of tensors"
            )
    return found


def output_names(count: int) -> tuple[str, ...]:
    """Names for outputs that have none."""
    return (OUTPUT,) if count == 1 else tuple(f"{OUTPUT}_{place}" for place in range(count))
