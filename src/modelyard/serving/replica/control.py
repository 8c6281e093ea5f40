"""What the runtime host and a replica say to each other, on the one socket that it is born with.

The host sends its order, then a `Serve` with a descriptor for each gateway. The replica answers
the order with `Loaded` or `NotLoaded`; the host believes neither more than it must.
"""

from __future__ import annotations

from typing import Final

import msgspec

from modelyard.core.profile import Profile
from modelyard.serving.runtimes.contract import RuntimeManifest

MAX_REASON: Final = 500
"""Characters of a reason that are kept."""


class Order(msgspec.Struct, frozen=True, tag="order"):
    """Load the version in this folder."""

    folder: str
    manifest: RuntimeManifest


class Serve(msgspec.Struct, frozen=True, tag="serve"):
    """The descriptor that comes with this message is a channel of a gateway: answer its calls."""


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The model is there, and costs this."""

    profile: Profile


class NotLoaded(msgspec.Struct, frozen=True, tag="not_loaded"):
    """It cannot be loaded. `code` is that of the error."""

    code: str
    reason: str


HostWord = Order | Serve
ReplicaWord = Loaded | NotLoaded

FROM_HOST: Final = (Order, Serve)
FROM_REPLICA: Final = (Loaded, NotLoaded)
