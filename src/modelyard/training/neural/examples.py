"""Rows to learn from: arrays of the same length, given out in batches as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelyard.training.rows import Array


class Examples:
    """The last of the arrays is the target, those before it are what the module takes.

    Arrays are read batch by batch: a memory-mapped one may be larger than memory. Sparse matrices
    become dense so.
    """

    def __init__(self, *arrays: Any) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return int(self.arrays[0].shape[0])

    def take(self, places: Array) -> Examples:
        """The rows at these positions."""
        return Examples(*(array[places] for array in self.arrays))

    def batch(self, places: Any) -> tuple[Sequence[Tensor], Tensor]:
        """What the module takes of these rows, and their targets."""
        *inputs, target = (tensor(array[places]) for array in self.arrays)
        return inputs, target

    def batches(self, size: int, order: Array | None = None) -> Iterator[Any]:
        """The positions of batches of like size, none above `size`, in this order.

        So none holds a single row, of which batch normalisation would know no spread.
        """
        count = len(self)
        if order is None:
            order = np.arange(count)
        yield from np.array_split(order, max(1, -(-count // size)))


def tensor(rows: Any) -> Tensor:
    """A batch as modules take it: FP32 of floats, INT64 of whole numbers, UINT8 as it is."""
    array: Array = rows if isinstance(rows, np.ndarray) else rows.toarray()
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    elif array.dtype != np.uint8:
        array = array.astype(np.int64, copy=False)
    return torch.from_numpy(np.ascontiguousarray(array))
