"""One vector of many: how the states of a sequence's steps become that of the whole."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

POOLINGS: Final = ("last", "max", "mean")
LEAST: Final = -1e9
"""Below any state: what is behind the end is never the largest."""


def pooled(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """States [n, steps, width] and mask [n, steps] to [n, width].

    `last` is the state of the last step.
    """
    if pooling == "max":
        return states.masked_fill(mask.unsqueeze(2) == 0, LEAST).amax(dim=1)
    weights = mask / mask.sum(dim=1, keepdim=True) if pooling == "mean" else last_step(mask)
    return (states * weights.unsqueeze(2)).sum(dim=1)


def last_step(mask: Tensor) -> Tensor:
    """1 at the last step of each sequence, else 0: [n, steps]."""
    return mask * (mask.cumsum(dim=1) == mask.sum(dim=1, keepdim=True)).float()


def positions(mask: Tensor, most: int) -> Tensor:
    """The number of each step from 0, at most `most`: [n, steps], INT64."""
    return (mask.cumsum(dim=1) - 1).clamp(0, most).to(torch.int64)
