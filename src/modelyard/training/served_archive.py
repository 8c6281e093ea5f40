"""What is served as an archive with a graph and what it needs beside it."""

from __future__ import annotations

from typing import Final

import msgspec

from modelyard.core.profile import Profile
from modelyard.core.tensors import Signature
from modelyard.registry.parity import Parity

MODEL_FILE: Final = "model.zip"


class ServedArchive(msgspec.Struct, frozen=True):
    """The served form, in `MODEL_FILE`: what it takes and gives, costs, and how it compares."""

    signature: Signature
    parity: Parity
    profile: Profile
