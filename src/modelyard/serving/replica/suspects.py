"""Requests that were in a replica's hands when it died.

One of them may have killed it. From then on each runs by itself: if it is answered, it was
innocent; if a replica dies of it again, it is refused. All gateways of a host know the same, by
digests of the inputs.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from modelyard.core.elements import to_raw
from modelyard.core.errors import Poisonous
from modelyard.core.tensors import Tensor

MOST: Final = 1024
"""Requests remembered for one model; the oldest is forgotten first."""

SECONDS: Final = 600.0
"""How long a request is remembered after the last death that it was present at."""

DEATHS: Final = 2

Inputs = Mapping[str, Tensor]


class Suspects:
    """What one model's replicas died of, perhaps. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._deaths)

    def admit(self, inputs: Inputs) -> bool:
        """Whether the request is a suspect, and has to run alone.

        Raises:
            Poisonous: it has been present at two deaths.
        """
        if not self._deaths:
            return False
        deaths, until = self._deaths.get(_digest(inputs), (0, 0.0))
        if until <= self._clock():
            return False
        if deaths >= DEATHS:
            raise Poisonous(
                f"the model's process has died {deaths} times while it had this very request; "
                "it is not tried again for a while"
            )
        return True

    def died(self, requests: Sequence[Inputs]) -> tuple[bytes, ...]:
        """A replica died with these in its hands; returns their digests."""
        digests = tuple(_digest(inputs) for inputs in requests)
        self.accuse(digests)
        return digests

    def answered(self, requests: Sequence[Inputs]) -> tuple[bytes, ...]:
        """A replica has answered these: none of them kills. Returns the digests of suspects."""
        if not self._deaths:
            return ()
        digests = {_digest(inputs) for inputs in requests}
        cleared = tuple(digest for digest in digests if digest in self._deaths)
        self.clear(cleared)
        return cleared

    def accuse(self, digests: Iterable[bytes]) -> None:
        """A replica died with these in its hands, here or in another gateway's."""
        until = self._clock() + SECONDS
        for digest in digests:
            deaths, _ = self._deaths.pop(digest, (0, 0.0))
            self._deaths[digest] = (deaths + 1, until)
        while len(self._deaths) > MOST:
            self._deaths.popitem(last=False)

    def clear(self, digests: Iterable[bytes]) -> None:
        """These were answered, here or elsewhere."""
        for digest in digests:
            self._deaths.pop(digest, None)


def _digest(inputs: Inputs) -> bytes:
    """What equal inputs have in common, in whatever order and layout they came."""
    digest = blake2b(digest_size=32)
    for name, tensor in sorted(inputs.items()):
        head = f"{name}\0{tensor.dtype.str}\0{tensor.shape}\0".encode()
        raw = to_raw(tensor)
        digest.update(len(head).to_bytes(8, "little") + head + len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.digest()
