"""What a gateway and a replica say to each other on the socket between them.

The gateway asks (`Call`, `Cancel`, `Share`); the replica answers (`Answer`, `Part`, `Failure`, and
of a language model `Pieces`).
Tensors lie in the payload of the frame, one after the other in the order of their heads; large
ones in the memory that the gateway has shared, if `shared` says so. The gateway believes nothing
that a replica says: see `read_tensors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from modelyard.core.elements import from_raw, to_raw
from modelyard.core.errors import Invalid
from modelyard.core.tensors import NUMPY, Datatype, Tensor, datatype_of
from modelyard.serving.language.generation import Piece

MAX_TENSORS: Final = 256
"""Most tensors of one call or answer."""


class TensorHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tensor in a payload: `size` is its length there in bytes. Elements that are `binary` are no
    text.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    size: int
    binary: bool = False


class Call(msgspec.Struct, frozen=True, tag="call", omit_defaults=True):
    """Run the model. `id` goes up with each call of a connection; `milliseconds` are left for it
    (0: no deadline). With `stream` the answer may come in parts. `options` are the model's own (of
    a language model: the sampling), as JSON.
    """

    id: int
    inputs: tuple[TensorHead, ...]
    milliseconds: int = 0
    stream: bool = False
    shared: bool = False
    options: bytes = b""


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Nobody waits for this call any more. It may still be answered."""

    id: int


class Share(msgspec.Struct, frozen=True, tag="share"):
    """The descriptor that comes with this frame is memory for both sides, of `size` bytes, sealed
    against a change of its size. The first half is for the inputs of a call, the second for the
    outputs of its answer. It replaces an earlier one; no call is under way.
    """

    size: int


class Answer(msgspec.Struct, frozen=True, tag="answer", omit_defaults=True):
    """The outputs of a call; after parts, the end (then usually without outputs).

    `micros` is how long the model ran. `details` is what the model says beside (of a language
    model: counts of tokens and why it stopped), as JSON.
    """

    id: int
    outputs: tuple[TensorHead, ...]
    micros: int = 0
    shared: bool = False
    details: bytes = b""


class Part(msgspec.Struct, frozen=True, tag="part", omit_defaults=True):
    """A part of a streamed answer, in order."""

    id: int
    outputs: tuple[TensorHead, ...] = ()
    details: bytes = b""


class Said(msgspec.Struct, frozen=True, array_like=True):
    """More of the text of a call."""

    id: int
    piece: Piece


class Pieces(msgspec.Struct, frozen=True, tag="pieces"):
    """More text, of one or several calls: what one step of a language model gave."""

    said: tuple[Said, ...]


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """The call has failed. `code` is that of an error in core.errors: `invalid` is the input's
    fault, `deadline_exceeded` and `cancelled` end a call, all else is the model's fault.
    """

    id: int
    code: str
    message: str


FROM_GATEWAY: Final = (Call, Cancel, Share)
FROM_REPLICA: Final = (Answer, Part, Failure)
FROM_LANGUAGE_REPLICA: Final = (Answer, Pieces, Failure)


def lay_out(tensors: Mapping[str, Tensor]) -> tuple[tuple[TensorHead, ...], list[memoryview]]:
    """Heads and bytes of tensors, without a copy where they are contiguous."""
    heads, payload = [], []
    for name, tensor in tensors.items():
        datatype = datatype_of(tensor)
        binary = False
        if datatype is Datatype.BYTES:
            binary = tensor.size > 0 and isinstance(tensor.flat[0], bytes)
            raw = memoryview(to_raw(tensor))
        elif not tensor.flags.c_contiguous:
            raw = memoryview(to_raw(tensor))
        else:
            raw = tensor.reshape(-1).view(np.uint8).data
        heads.append(TensorHead(name, datatype, tensor.shape, raw.nbytes, binary))
        payload.append(raw)
    return tuple(heads), payload


def read_tensors(heads: Sequence[TensorHead], payload: memoryview) -> dict[str, Tensor]:
    """Tensors by name; views of the payload where that is possible.

    Raises:
        Invalid: heads and bytes do not agree, or a name comes twice; says of which tensor.
    """
    if len(heads) > MAX_TENSORS:
        raise Invalid(f"{len(heads)} tensors are more than {MAX_TENSORS}")
    tensors: dict[str, Tensor] = {}
    at = 0
    for head in heads:
        end = at + head.size
        if head.size < 0 or end > payload.nbytes:
            raise Invalid(f"tensor '{head.name[:80]}' is said to end beyond its payload")
        if head.name in tensors:
            raise Invalid(f"tensor '{head.name[:80]}' comes twice")
        if head.datatype not in NUMPY:
            raise Invalid(f"tensor '{head.name[:80]}' has datatype {head.datatype}")
        tensors[head.name] = from_raw(
            head.name[:80],
            head.datatype,
            list(head.shape),
            payload[at:end],
            binary=head.binary,
        )
        at = end
    if at != payload.nbytes:
        raise Invalid(f"the payload has {payload.nbytes - at} bytes too many")
    return tensors
