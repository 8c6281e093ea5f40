"""Where a request's time went, told to whoever wants to know.

A request that is not traced has None in place of a `Trace`, and pays for one comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

Value = str | bool | int | float
Attributes = Mapping[str, Value]
"""Facts about a span, by names of OpenTelemetry's conventions or `modelyard.*`. Never a secret and
nothing of what a client sent but the names of things that exist."""

QUEUE: Final = "queue"
"""The part in which a request waits for the model."""

INFERENCE: Final = "inference"
"""The part in which the model runs, for this request alone or for a batch."""


class Trace(Protocol):
    """The span of one request. Times are `time.monotonic`'s, in seconds."""

    @property
    def id(self) -> str:
        """The trace's id, 32 hexadecimal digits."""
        ...

    @property
    def parent(self) -> str:
        """The `traceparent` of whatever comes of this request."""
        ...

    def note(self, attributes: Attributes) -> None:
        """Say more about the request."""
        ...

    def rename(self, name: str) -> None:
        """Give the span the name that is known only now."""
        ...

    def part(self, name: str, began: float, ended: float, attributes: Attributes) -> None:
        """Tell of a part of the request that is over."""
        ...

    def end(self, status: int) -> None:
        """The request is answered, with this HTTP status or what it would be in HTTP."""
        ...


class Tracer(Protocol):
    """Begins traces. Nothing that it does may wait or fail."""

    def begin(self, name: str, headers: Mapping[bytes, bytes], attributes: Attributes) -> Trace:
        """A request has come in; its trace goes on from `traceparent` and `tracestate`."""
        ...
