"""Which replicas there are: started when there is work, as far as memory goes, ended when not."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Final

from modelyard.adapters.engine.host.budget import Budget, DoesNotFit
from modelyard.adapters.engine.host.files import ReplicaFiles
from modelyard.adapters.engine.host.launching import Launcher
from modelyard.adapters.engine.host.memory import Needs
from modelyard.adapters.engine.host.messages import (
    Accuse,
    Clear,
    Drain,
    Load,
    ReplicaKey,
    ReplicaSpec,
)
from modelyard.adapters.engine.host.replica import EXPECTED, Cause, End, Replica
from modelyard.adapters.engine.host.replica_set import Peer, ReplicaSet
from modelyard.adapters.engine.host.tally import Tally
from modelyard.core import ids
from modelyard.core.errors import Invalid

TICK: Final = 0.25
ORPHAN_SECONDS: Final = 10.0
"""How long replicas are kept for gateways that are gone, and may come back."""
_SLOW_START: Final = 5.0
"""A replica that loads for longer does not keep others from starting."""
_FAIR: Final = 5.0
"""Who waits for longer is not overtaken by others that need less memory."""

_log = logging.getLogger(__name__)


class Scheduler:
    """Keeps the replicas in step with what gateways want and do, within the budget.

    A replica that is taken out of service has `grace` seconds to answer what it has.
    """

    def __init__(
        self, launcher: Launcher, files: ReplicaFiles, tally: Tally, budget: Budget, grace: float
    ) -> None:
        self.sets: dict[ReplicaKey, ReplicaSet] = {}
        self.replicas: dict[str, Replica] = {}
        self._budget = budget
        self._needs = Needs()
        self._launcher = launcher
        self._files = files
        self._tally = tally
        self._grace = grace
        self._starts = 2 * (os.cpu_count() or 1)
        self._peers: list[Peer] = []
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._cramped = False
        """Whether somebody waits for memory that others have."""
        self._stopping = False

    def want(self, peer: Peer, spec: ReplicaSpec) -> None:
        """A gateway wants the version."""
        if peer not in self._peers:
            self._peers.append(peer)
        if spec.key not in self.sets:
            self.sets[spec.key] = ReplicaSet(spec)
        self.sets[spec.key].want(peer, spec, self._loop.time())
        self.look()

    def unwant(self, peer: Peer, key: ReplicaKey) -> None:
        """A gateway does not want the version any more: it gives its channels back."""
        found = self.sets.get(key)
        if found is None:
            return
        found.unwant(peer, self._loop.time())
        for replica in found.replicas:
            if replica.id in peer.channels:
                peer.send(Drain(replica.id))
        if not found.peers:
            self._drop(found)
        self.look()

    def ask(self, peer: Peer, key: ReplicaKey, request: int) -> bool:
        """A gateway has work and no channel; returns whether the version is known."""
        found = self.sets.get(key)
        if found is not None:
            found.ask(peer, request, self._loop.time())
            self.look()
        return found is not None

    def hear(self, peer: Peer, load: Load) -> None:
        """A gateway tells what it has to do."""
        found = self.sets.get(load.key)
        if found is None:
            return
        found.hear(peer, load, self._loop.time())
        # These come often, and few of them change what is to be done now.
        if found.demand > len(found.replicas) or (self._cramped and not found.load):
            self.look()

    def leave(self, peer: Peer) -> None:
        """A gateway is gone, with all its channels. It may come back."""
        if peer in self._peers:
            self._peers.remove(peer)
        peer.channels.clear()
        for each in self.sets.values():
            each.unwant(peer, self._loop.time())
        for replica in self.replicas.values():
            self._end_if_released(replica)
        self.look()

    def released(self, peer: Peer, replica_id: str) -> None:
        """A gateway has no channel to the replica any more."""
        peer.channels.discard(replica_id)
        replica = self.replicas.get(replica_id)
        if replica is not None:
            self._end_if_released(replica)
        self.look()

    def misbehaved(self, replica_id: str, reason: str) -> None:
        """A gateway complains of a replica."""
        if replica_id in self.replicas:
            self.replicas[replica_id].kill(End(Cause.MISBEHAVED, reason))

    def pass_on(self, sender: Peer, message: Accuse | Clear) -> None:
        """Tell the other gateways that want the version."""
        found = self.sets.get(message.key)
        for peer in found.peers if found is not None else ():
            if peer is not sender:
                peer.send(message)

    def look(self) -> None:
        """Look soon at what there is to do."""
        if not self._due and not self._stopping:
            self._due = True
            self._loop.call_soon(self._look)

    async def run(self) -> None:
        """Look again and again: time passes as well."""
        while True:
            self.look()
            await asyncio.sleep(TICK)

    async def stop(self) -> None:
        """End all replicas."""
        self._stopping = True
        replicas = list(self.replicas.values())
        for replica in replicas:
            replica.kill(End(Cause.UNWANTED, "the host stops"))
        for replica in replicas:
            await replica.gone()

    def report(self) -> None:
        """Write down what there is."""
        self._tally.write(self.replicas.values())

    def measured(self, replica: Replica, size: int) -> None:
        """A replica takes so many bytes now."""
        if replica.ready:
            replica.peak = max(replica.peak, size)
            self._needs.learn(replica.spec, size)

    def _look(self) -> None:
        self._due = False
        now = self._loop.time()
        for each in list(self.sets.values()):
            if now - each.orphaned_at >= ORPHAN_SECONDS:
                self._drop(each)
            elif each.engaged:
                each.answer_asked(now)
                self._shrink(each, now)
        self._make_room(0, now)
        self._grow(now)

    def _drop(self, gone: ReplicaSet) -> None:
        del self.sets[gone.spec.key]
        self._needs.forget(gone.spec)
        for replica in list(gone.replicas):
            self._drain(replica, Cause.UNWANTED)

    def _shrink(self, each: ReplicaSet, now: float) -> None:
        """End replicas that nobody needs. The youngest go first: the others have proved good."""
        surplus = len(each.replicas) - each.kept(now)
        for replica in each.replicas[::-1][: max(surplus, 0)]:
            self._drain(replica, Cause.IDLE)

    def _grow(self, now: float) -> None:
        """Start what is missing: first for those who wait, in their order, then to be prepared."""
        self._cramped = False
        able = [one for one in self.sets.values() if now >= one.recovery.not_before]
        short = [one for one in able if one.demand > len(one.replicas)]
        for each in sorted(short, key=lambda one: one.waiting_since):
            waited = now - each.waiting_since
            if not self._fill(each, each.demand, now, urgent=True) and waited >= _FAIR:
                # What becomes free is for this one.
                return
        room = True
        for each in able:
            # With many that are cold and no room, each look would ask for each of them in vain.
            if room or not each.cold:
                room = self._warm(each, now)

    def _fill(self, each: ReplicaSet, count: int, now: float, *, urgent: bool) -> bool:
        """Start what is missing of so many replicas; returns whether that was possible."""
        missing = count - len(each.replicas)
        return all(self._place(each, now, urgent=urgent) for _ in range(missing))

    def _warm(self, each: ReplicaSet, now: float) -> bool:
        """Start what should be there before anybody asks, into memory that nobody uses."""
        room = self._fill(each, each.wanted, now, urgent=False)
        loading = len(each.ready) < len(each.replicas)
        if not loading and not each.cold and (room or self._starting(now) < self._starts):
            # What is not there now will not be there before there is work for it.
            each.tell_prepared()
        return room

    def _place(self, each: ReplicaSet, now: float, *, urgent: bool) -> bool:
        """Start one more replica if there is room; only for who waits, others make room."""
        try:
            need = self._needs.of(each.spec)
            self._budget.admit(each.spec, need)
        except (Invalid, DoesNotFit) as error:
            each.recovery.failed(error.message, now)
            each.tell_failed(now)
            return False
        if self._starting(now) >= self._starts:
            return False
        if self._budget.holds(need, self.replicas.values()):
            self._start(each, need)
            return True
        if urgent:
            self._cramped = True
            self._make_room(need, now)
        return False

    def _starting(self, now: float) -> int:
        return sum(
            replica.profile is None and now - replica.began_at < _SLOW_START
            for replica in self.replicas.values()
        )

    def _make_room(self, need: int, now: float) -> None:
        """Take idle replicas out of service, so that there are `need` bytes, or none too many."""
        for replica in self._budget.victims(need, self.replicas.values(), self.sets.values(), now):
            self._drain(replica, Cause.MEMORY)

    def _start(self, each: ReplicaSet, need: int) -> None:
        replica = Replica(
            ids.new_id(ids.REPLICA),
            each.spec,
            need,
            on_loaded=self._loaded,
            on_gone=self._gone,
        )
        self.replicas[replica.id] = replica
        each.replicas.append(replica)
        most = each.spec.options.memory_bytes or self._budget.bound(need)
        replica.start(self._files, self._launcher, most)

    def _drain(self, replica: Replica, cause: Cause) -> None:
        """Take a replica out of service, and end it when its gateways have let go of it."""
        if replica.draining is not None:
            return
        replica.draining = cause
        found = self.sets.get(replica.spec.key)
        if found is not None and replica in found.replicas:
            found.replicas.remove(replica)
        for peer in self._peers:
            if replica.id in peer.channels:
                peer.send(Drain(replica.id))
        self._loop.call_later(self._grace, replica.kill, End(cause))
        self._end_if_released(replica)

    def _end_if_released(self, replica: Replica) -> None:
        held = any(replica.id in peer.channels for peer in self._peers)
        if replica.draining is not None and not held:
            replica.kill(End(replica.draining))

    def _loaded(self, replica: Replica) -> None:
        self._tally.started(replica, replica.loaded_at - replica.began_at)
        found = self.sets.get(replica.spec.key)
        if found is not None and replica in found.replicas:
            found.loaded(replica, self._loop.time())
        self.look()

    def _gone(self, replica: Replica, end: End) -> None:
        del self.replicas[replica.id]
        self._tally.ended(replica, end.cause)
        for peer in self._peers:
            peer.channels.discard(replica.id)
        found = self.sets.get(replica.spec.key)
        if found is not None and replica in found.replicas:
            found.replicas.remove(replica)
            self._judge(found, replica, end)
        self.look()

    def _judge(self, each: ReplicaSet, replica: Replica, end: End) -> None:
        """What the end of a replica says about its version."""
        now = self._loop.time()
        if end.cause in EXPECTED:
            return
        if end.cause is Cause.REFUSED:
            each.recovery.failed(end.reason, now)
        else:
            each.recovery.died(end.reason, now, healthy=each.healthy(replica, now))
            self._loop.call_at(each.recovery.not_before, self.look)
        if each.recovery.reason:
            each.tell_failed(now)
