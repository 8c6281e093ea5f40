"""What a network looks like before it has weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from modelyard.training.rows import Array

if TYPE_CHECKING:
    from torch import nn


class Architecture(Protocol):
    """Implemented by frozen structs whose fields are what can be set."""

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """A new module from inputs [n, *shape] to outputs [n, outputs], with random weights.

        Raises:
            ValueError: inputs of this shape cannot go through it.
        """
        ...


@runtime_checkable
class Primed(Architecture, Protocol):
    """One whose weights do not all begin at random."""

    def prime(self, module: nn.Module, inputs: Array, seed: int) -> None:
        """Set what can be learned of the training rows' inputs [n, *shape] alone."""
        ...
