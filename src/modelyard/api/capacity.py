"""What one gateway holds at a time: connections, in all and of each address, and bodies."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

from modelyard.api.http import HttpResponse
from modelyard.api.limits import ConnectionLimits
from modelyard.api.statuses import error_body
from modelyard.core.errors import Unavailable

REFUSED_AT_ONCE: Final = 256
"""Connections beyond the bound that are told so; more are cut off without a word."""


class Capacity:
    """The gateway's own; lives on its event loop. `left` is how many bytes of bodies still fit."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._most = limits.max_connections
        self._most_per_address = limits.max_connections_per_address
        self._addresses: Counter[str] = Counter()
        self._connections = 0
        self.left = limits.max_inflight

    def __len__(self) -> int:
        """How many connections there are."""
        return self._connections

    def enter(self, address: str) -> Seat:
        """Count a connection that was made, until its seat is left."""
        self._connections += 1
        self._addresses[address] += 1
        return Seat(self, address)

    def leave(self, address: str) -> None:
        """A connection is no more."""
        self._connections -= 1
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    def refusal(self, address: str) -> HttpResponse | None:
        """What to say to the newest connection, of this address, if it is one too many."""
        if self._connections > self._most:
            message = "this server has too many connections; try again later"
            status = HTTPStatus.SERVICE_UNAVAILABLE
        elif self._most_per_address and self._addresses[address] > self._most_per_address:
            message = f"at most {self._most_per_address} connections come from one address"
            status = HTTPStatus.TOO_MANY_REQUESTS
        else:
            return None
        return HttpResponse(status, error_body(message), headers=[(b"retry-after", b"1")])

    @property
    def flooded(self) -> bool:
        """Whether there are so many connections too many that it is not worth telling them."""
        return self._connections > self._most + REFUSED_AT_ONCE

    def hold(self) -> Holding:
        """Count bytes that are held until they are given back."""
        return Holding(self)


class Seat:
    """A connection's place among the others."""

    __slots__ = ("_address", "_capacity")

    def __init__(self, capacity: Capacity, address: str) -> None:
        self._capacity: Capacity | None = capacity
        self._address = address

    def leave(self) -> None:
        """The connection is no more; told twice, it counts once."""
        if self._capacity is not None:
            self._capacity.leave(self._address)
            self._capacity = None


class Holding:
    """Bytes of one request that are in memory. Given back at the end of a `with` or by hand."""

    __slots__ = ("_capacity", "size")

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def grow_to(self, size: int) -> None:
        """Hold this many bytes from now on, or more if it was more.

        Raises:
            Unavailable: the gateway holds as many as it may.
        """
        more = size - self.size
        if more > self._capacity.left:
            raise no_room()
        if more > 0:
            self.cover(size)

    def cover(self, size: int) -> None:
        """The same for bytes that are there already, whether they may or not."""
        more = size - self.size
        if more > 0:
            self.size = size
            self._capacity.left -= more

    def release(self) -> None:
        """They are gone."""
        self._capacity.left += self.size
        self.size = 0


def no_room() -> Unavailable:
    """The refusal of a body for which there is no room."""
    return Unavailable("this server is busy with other requests' bodies; try again later")
