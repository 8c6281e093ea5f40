"""What trying and converting a model of another library has brought to light."""

from __future__ import annotations

import msgspec

from modelyard.core.profile import Profile
from modelyard.core.tensors import Signature
from modelyard.registry.parity import Parity


class ConversionReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model that was loaded, asked, and converted if that could be done.

    `graph` and `features` are the names of the ONNX file and of its text features in the folder:
    a graph is there if it agrees with the model, and is then what is to be served. `parity` says
    how it compares, or why there is none. `native` is what the model costs in its own library,
    `served` what its graph does. `kind` names the model's class or objective. `warnings` are for
    the card, a sentence each. `libraries` maps each library that was used to its version.
    """

    signature: Signature
    parity: Parity
    native: Profile
    kind: str
    graph: str = ""
    features: str = ""
    served: Profile | None = None
    streams: bool = False
    warnings: tuple[str, ...] = ()
    libraries: dict[str, str] = {}

    @property
    def converted(self) -> bool:
        """Whether the graph is to be served, and not the model as it is."""
        return bool(self.graph)
