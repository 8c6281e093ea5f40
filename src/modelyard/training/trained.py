"""What a training or an import leaves behind for the registry."""

from __future__ import annotations

from typing import Any

import msgspec

from modelyard.core.tensors import Signature
from modelyard.registry.artifact import Format
from modelyard.registry.card import Card
from modelyard.registry.parity import Parity


class Produced(msgspec.Struct, frozen=True):
    """A file in the scratch folder."""

    name: str
    format: Format


class Trained(msgspec.Struct, frozen=True):
    """The result of `train`. `parameters` are the winner's, with those that were not asked for."""

    signature: Signature
    card: Card
    parity: Parity
    artifacts: tuple[Produced, ...]
    seed: int
    parameters: dict[str, Any]
    libraries: dict[str, str]


class Imported(msgspec.Struct, frozen=True):
    """The result of `import_onnx`."""

    signature: Signature
    card: Card
    libraries: dict[str, str]
