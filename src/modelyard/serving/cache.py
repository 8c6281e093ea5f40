"""The response cache of one deployed version: outputs kept for equal inputs."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

import msgspec
import numpy as np

from modelyard.core.tensors import Tensor
from modelyard.serving.batch import Outputs
from modelyard.serving.options import CacheOptions

_OVERHEAD: Final = 512
"""Bytes that an entry takes beside its tensors, about."""

_STRING: Final = 64
"""Bytes that a string takes beside its text, about."""


class _Entry(msgspec.Struct, frozen=True, gc=False):
    outputs: Outputs
    size: int
    until: float


class ResponseCache:
    """Bounded in bytes and time; whatever was asked for longest ago goes first.

    `identity` is what all entries have in common: tenant, deployment and version. The digests
    have a key of their own, so that nobody can look for inputs that meet in one. Lives on one
    event loop. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        identity: tuple[str, ...],
        options: CacheOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._hash = blake2b(key=os.urandom(32), digest_size=32)
        for part in identity:
            self._hash.update(_sized(part.encode()))
        self.size = 0
        """Bytes held, about."""

    def __len__(self) -> int:
        return len(self._entries)

    def key(self, tenant_id: str, inputs: Mapping[str, Tensor]) -> bytes:
        """What equal inputs of one tenant have in common, in whatever order and layout they came.

        Another tenant's have not: no answer may tell what somebody else has asked.
        """
        digest = self._hash.copy()
        digest.update(_sized(tenant_id.encode()))
        for name in sorted(inputs):
            tensor = inputs[name]
            digest.update(_sized(name.encode()))
            digest.update(_sized(tensor.dtype.str.encode()))
            digest.update(_sized(np.array(tensor.shape, np.int64).tobytes()))
            if tensor.dtype.kind == "O":
                for value in tensor.reshape(-1):
                    digest.update(_sized(_text(value)))
            else:
                digest.update(_sized(tensor.tobytes()))
        return digest.digest()

    def get(self, key: bytes) -> Outputs | None:
        """The outputs that are kept under the key, if they are still good."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.outputs

    def put(self, key: bytes, outputs: Outputs) -> None:
        """Keep a copy of the outputs, unless they alone are more than may be kept."""
        if key in self._entries:
            self._drop(key)
        size = _OVERHEAD + sum(_size(tensor) for tensor in outputs.values())
        if size > self._options.max_bytes:
            return
        while self.size + size > self._options.max_bytes:
            self._drop(next(iter(self._entries)))
        # The rows of a batch are parts of one large tensor, which would be held with them.
        kept = {name: tensor.copy() for name, tensor in outputs.items()}
        self._entries[key] = _Entry(kept, size, self._clock() + self._options.ttl_seconds)
        self.size += size

    def _drop(self, key: bytes) -> None:
        self.size -= self._entries.pop(key).size


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data


def _text(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def _size(tensor: Tensor) -> int:
    if tensor.dtype.kind != "O":
        return tensor.nbytes
    return tensor.nbytes + sum(len(_text(value)) + _STRING for value in tensor.reshape(-1))
