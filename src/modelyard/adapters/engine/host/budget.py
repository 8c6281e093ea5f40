"""The memory that all replicas of a host may take together, and who gives way when it is short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from modelyard.adapters.engine.host.memory import MIB, plan_of
from modelyard.adapters.engine.host.messages import ReplicaSpec
from modelyard.adapters.engine.host.replica import Replica
from modelyard.adapters.engine.host.replica_set import ReplicaSet
from modelyard.core.errors import ModelyardError

_BOUND_FACTOR: Final = 4
_BOUND_SPARE: Final = 1024 * MIB


class DoesNotFit(ModelyardError):
    """A version needs more memory than it can get."""

    code = "does_not_fit"


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

    def admit(self, spec: ReplicaSpec, need: int) -> None:
        """Raises DoesNotFit for a version that needs more than it may have, or than there is."""
        told = plan_of(spec)
        most = spec.options.memory_bytes
        if need > self.size:
            limit = (
                f"all replicas together may have {self.size // MIB} MiB "
                "(setting 'replica_memory_bytes')"
            )
        elif told is not None and most and need > most:
            limit = f"it may have {most // MIB} MiB (option 'memory_bytes')"
        else:
            return
        why = "" if told is None else f": {told.told()}"
        raise DoesNotFit(f"it needs about {need // MIB} MiB of memory, and {limit}{why}")

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
