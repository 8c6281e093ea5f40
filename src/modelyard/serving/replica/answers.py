"""What a replica answers is believed only as far as the signature goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modelyard.core.errors import Invalid, ModelFailed
from modelyard.core.tensors import NUMPY, Signature, Tensor, datatype_of

_MOST_TEXT: Final = 500


def check(signature: Signature, outputs: Mapping[str, Tensor], rows: int | None) -> None:
    """That these are the outputs of the signature, no more and no less; with `rows`, so many rows
    of each that comes in rows.

    Raises:
        ModelFailed: says of which output, what came and what was expected.
    """
    for spec in signature.outputs:
        tensor = outputs.get(spec.name)
        if tensor is None:
            raise ModelFailed(f"the model did not answer with its output '{spec.name}'")
        if tensor.dtype != NUMPY.get(spec.datatype):
            raise ModelFailed(
                f"the model answered '{spec.name}' as {_datatype(tensor)}, its signature says "
                f"{spec.datatype}"
            )
        if not spec.fits(tensor.shape):
            raise ModelFailed(
                f"the model answered '{spec.name}' in shape {list(tensor.shape)}, its signature "
                f"says {list(spec.shape)} (-1 is any size)"
            )
        if rows is not None and spec.shape[:1] == (-1,) and tensor.shape[0] != rows:
            raise ModelFailed(
                f"the model answered '{spec.name}' with {tensor.shape[0]} rows to {rows}"
            )
    if len(outputs) != len(signature.outputs):
        known = {spec.name for spec in signature.outputs}
        unknown = next(name for name in outputs if name not in known)
        raise ModelFailed(f"the model answered '{said(unknown)}', which is not in its signature")


def said(text: str) -> str:
    """What a replica says, fit to be shown: printable, on one line, of bounded length."""
    shown = "".join(each if each.isprintable() else " " for each in text[:_MOST_TEXT])
    return " ".join(shown.split())


def _datatype(tensor: Tensor) -> str:
    try:
        return datatype_of(tensor)
    except Invalid:
        return str(tensor.dtype)
