"""How an attempt to have somebody else answer can come to nothing."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

from modelyard.core.errors import ModelFailed, ModelyardError, Unavailable


class Kind(StrEnum):
    """What went wrong, as metrics tell it."""

    ADDRESS = "address"
    """It lies where this server may not connect to."""
    CONNECT = "connect"
    TIMEOUT = "timeout"
    LIMITED = "limited"
    """429: it has had too many requests."""
    STATUS = "status"
    """A 5xx."""
    REFUSED = "refused"
    """The key, the model's name or the address is wrong: the owner's to mend."""
    MALFORMED = "malformed"
    """It does not answer as an OpenAI API does, or with too much."""
    BROKEN = "broken"
    """It broke off, or said in its answer that it has failed."""


AGAIN: Final = frozenset({Kind.CONNECT, Kind.TIMEOUT, Kind.LIMITED, Kind.STATUS, Kind.BROKEN})
"""What may go better another time."""

_TOLD: Final = {
    Kind.ADDRESS: "is at an address that this server does not connect to",
    Kind.CONNECT: "cannot be reached",
    Kind.TIMEOUT: "did not answer in time",
    Kind.LIMITED: "takes no more requests at the moment",
    Kind.STATUS: "has failed",
    Kind.REFUSED: "refuses this server's request",
    Kind.MALFORMED: "answered something else than an OpenAI API does",
    Kind.BROKEN: "broke off its answer",
}


class UpstreamFailed(Exception):
    """An attempt has failed. `detail` is for the log: a status or the name of an error, and nothing
    that the other side has said. `retry_after` is what it has asked for, in seconds.
    """

    def __init__(self, kind: Kind, detail: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after

    def told(self, provider: str) -> ModelyardError:
        """The failure as a client is told: never of an address, a key, or what was answered."""
        message = f"provider '{provider}' {_TOLD[self.kind]}"
        if self.kind in AGAIN:
            return Unavailable(message, retry_after=max(1, math.ceil(self.retry_after or 1)))
        return ModelFailed(message)
