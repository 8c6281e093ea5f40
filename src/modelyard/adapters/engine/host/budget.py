"""The memory that all replicas of a host may take together, and who gives way when it is short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from modelyard.adapters.engine.host.memory import MIB
from modelyard.adapters.engine.host.replica import Replica
from modelyard.adapters.engine.host.replica_set import ReplicaSet

_BOUND_FACTOR: Final = 4
_BOUND_SPARE: Final = 1024 * MIB


class Budget:
    """`size` is in bytes."""

    def __init__(self, size: int) -> None:
        self.size = size

    def holds(self, need: int, replicas: Iterable[Replica]) -> bool:
        """Whether there is room for so much beside these."""
        return used(replicas) + need <= self.size

    def bound(self, need: int) -> int:
        """The most that a replica may take which is expected to take `need`."""
        return min(self.size, max(_BOUND_FACTOR * need, need + _BOUND_SPARE))

    def refusal(self, need: int) -> str:
        """Why a version that needs more than there is cannot be served."""
        return (
            f"it needs about {need // MIB} MiB of memory, and all replicas together may have "
            f"{self.size // MIB} MiB (setting 'replica_memory_bytes')"
        )

    def victims(
        self, need: int, replicas: Iterable[Replica], sets: Iterable[ReplicaSet], now: float
    ) -> list[Replica]:
        """Idle replicas that give way, the least recently used first, so that `need` fits.

        None if that is not enough. With a `need` of 0, as many as there are of those that are
        too much.
        """
        there = list(replicas)
        leaving = used(one for one in there if one.draining is not None)
        missing = used(there) + need - self.size - leaving
        chosen = []
        for replica in _idle(sets, now):
            if missing <= 0:
                break
            chosen.append(replica)
            missing -= replica.charge
        return chosen if missing <= 0 or need == 0 else []


def used(replicas: Iterable[Replica]) -> int:
    """Bytes that these take, or are expected to."""
    return sum(replica.charge for replica in replicas)


def _idle(sets: Iterable[ReplicaSet], now: float) -> Iterator[Replica]:
    loose = [one for one in sets if one.replicas and not one.spec.options.pinned]
    for each in sorted(loose, key=lambda one: one.used_at):
        if each.idle(now):
            yield from each.ready
