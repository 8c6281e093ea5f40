"""Elements that are no text (a picture's file, say) in JSON: base64, for it has no bytes.

By the V1 protocol an element is `{"b64": "..."}`, as TensorFlow Serving and KServe have it; by V2
it is a string. Either is understood in both.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Tensor

B64: Final = "b64"


def is_b64(value: Any) -> bool:
    """Whether it is an object that holds base64 and nothing else."""
    return isinstance(value, dict) and value.keys() == {B64}


def decode_elements(name: str, elements: Sequence[Any] | Tensor) -> Tensor:
    """A flat tensor of `bytes`.

    Raises:
        Invalid: an element that is no base64; the message says which.
    """
    decoded: Tensor = np.empty(len(elements), dtype=np.object_)
    for at, element in enumerate(elements):
        text = element[B64] if is_b64(element) else element
        if not isinstance(text, str):
            raise _refusal(name, at)
        try:
            decoded[at] = binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            raise _refusal(name, at) from None
    return decoded


def _refusal(name: str, at: int) -> Invalid:
    return Invalid(
        f"input '{name}': element {at} must be base64, as a string or as "
        f'{{"{B64}": "..."}}; by the V2 protocol the bytes themselves can be sent as binary data'
    )
