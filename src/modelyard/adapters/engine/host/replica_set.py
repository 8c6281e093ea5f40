"""The replicas of one version for one deployment: who wants them, what there is to do."""

from __future__ import annotations

import math
from typing import Final, Protocol

import msgspec

from modelyard.adapters.engine.host.autoscaler import Hold, replicas_for
from modelyard.adapters.engine.host.messages import (
    Connected,
    Failed,
    HostMessage,
    Load,
    Offer,
    Prepared,
    Refused,
    ReplicaSpec,
)
from modelyard.adapters.engine.host.recovery import HEALTHY_SECONDS, PROVEN_SECONDS, Recovery
from modelyard.adapters.engine.host.replica import Replica
from modelyard.core.profile import Profile

SETTLING_SECONDS: Final = 1.0
"""A replica that has just come up is left alone for so long, or until it has answered a call."""
_PATIENCE: Final = 1.0
"""Until a gateway that asks for a channel, and should have one, is given another."""


class Peer(Protocol):
    """A gateway."""

    channels: set[str]
    """The replicas that it has a channel to."""

    def send(self, message: HostMessage, descriptor: int | None = None) -> None:
        """Send the message, and give the descriptor away with it."""
        ...


class Asked(msgspec.Struct):
    """A gateway that waits for a channel. `idle`: it has given up what it wanted it for."""

    peer: Peer
    request: int
    since: float
    idle: bool = False


class ReplicaSet:
    """Who wants a version, what replicas it has, and what is to be said about it."""

    def __init__(self, spec: ReplicaSpec) -> None:
        self.spec = spec
        self.peers: list[Peer] = []
        self.replicas: list[Replica] = []
        self.asked: list[Asked] = []
        self.recovery = Recovery()
        self.profile: Profile | None = spec.profile
        self.orphaned_at = math.inf
        """Since when no gateway wants it any more."""
        self.load = 0
        """Requests that run or wait, in all gateways."""
        self._hold = Hold()
        self._loads: dict[Peer, Load] = {}
        self._used_at = float("-inf")
        self._answered_at = float("-inf")
        self._told: Prepared | Failed | None = None

    # What gateways say

    def want(self, peer: Peer, spec: ReplicaSpec, now: float) -> None:
        """A gateway wants it: give it the news that there are, and the channels."""
        self.spec = spec
        self.orphaned_at = math.inf
        self._used_at = max(self._used_at, now)
        if self._told is not None:
            peer.send(self._told)
        if peer not in self.peers:
            self.peers.append(peer)
        for replica in self.ready:
            if replica.id not in peer.channels:
                self._offer(peer, replica)

    def unwant(self, peer: Peer, now: float) -> None:
        """A gateway does not want it any more, or is gone."""
        if peer in self.peers:
            self.peers.remove(peer)
        self._loads.pop(peer, None)
        self._add_up()
        self.asked = [one for one in self.asked if one.peer is not peer]
        if not self.peers:
            self.orphaned_at = now

    def ask(self, peer: Peer, request: int, now: float) -> None:
        """A gateway has work and no channel."""
        self._used_at = now
        self.asked.append(Asked(peer, request, now))
        self.answer_asked(now)

    def hear(self, peer: Peer, load: Load, now: float) -> None:
        """A gateway tells what it has to do."""
        busy = load.in_flight + load.waiting > 0
        if busy or load.answered:
            self._used_at = now
        if load.answered:
            self._answered_at = now
        for one in self.asked:
            if one.peer is peer:
                one.idle = not busy
        self._loads[peer] = load
        self._add_up()

    def _add_up(self) -> None:
        self.load = sum(load.in_flight + load.waiting for load in self._loads.values())

    # What there is

    @property
    def ready(self) -> list[Replica]:
        """Replicas that take calls."""
        return [replica for replica in self.replicas if replica.ready]

    @property
    def engaged(self) -> bool:
        """Whether there is anything about it that changes with time."""
        return bool(self.replicas or self.asked)

    @property
    def cold(self) -> bool:
        """Whether it is known to be served without a replica."""
        return not self.replicas and isinstance(self._told, Prepared)

    @property
    def waiting_since(self) -> float:
        """Since when somebody waits for a replica; infinity if nobody does."""
        if not self.asked:
            return math.inf
        return min((one.since for one in self.asked if not one.idle), default=math.inf)

    @property
    def used_at(self) -> float:
        """When there was last something to do."""
        return self._used_at

    def idle(self, now: float) -> bool:
        """Whether nothing would be missed if its replicas went."""
        return (
            self.load == 0
            and self.waiting_since == math.inf
            and all(self._settled(replica, now) for replica in self.ready)
        )

    def healthy(self, replica: Replica, now: float) -> bool:
        """Whether a replica that is gone was of use, or others were lately: it was bad luck."""
        served = now - replica.loaded_at
        return served >= HEALTHY_SECONDS or now - self._answered_at <= PROVEN_SECONDS

    @property
    def demand(self) -> int:
        """Replicas that somebody waits for, or that must prove that the version can be served."""
        wanted = replicas_for(self.spec.options, self.load) if self.load else 0
        if self.waiting_since < math.inf or self.profile is None:
            wanted = max(wanted, 1)
        return wanted

    @property
    def wanted(self) -> int:
        """Replicas that there should be, if memory allows."""
        wanted = max(self.demand, self.spec.options.minimum)
        return max(wanted, 1) if self.recovery.reason else wanted

    def kept(self, now: float) -> int:
        """Replicas that are not taken out of service for want of work."""
        held = self._hold.most(max(self.wanted, 1), now)
        recent = now - self._used_at < self.spec.options.idle_seconds
        return max(self.wanted, held) if recent else self.wanted

    # What gateways are told

    def loaded(self, replica: Replica, now: float) -> None:
        """A replica of it has come up: tell everybody, and give everybody a channel."""
        self.profile = replica.profile
        self.recovery.loaded()
        self.tell_prepared()
        self.answer_asked(now)
        for peer in self.peers:
            if replica.id not in peer.channels:
                self._offer(peer, replica)

    def tell_prepared(self) -> None:
        """Tell that it can be served, as soon as that is known."""
        if self.profile is not None and not self.recovery.reason:
            self._tell(Prepared(self.spec.key, self.profile))

    def tell_failed(self, now: float) -> None:
        """Tell that it cannot be served, and turn those away who wait for it."""
        recovery = self.recovery
        after = max(0.0, recovery.not_before - now)
        self._tell(Failed(self.spec.key, recovery.reason, after))
        self.answer_asked(now)

    def answer_asked(self, now: float) -> None:
        """Give those who wait what there is."""
        ready = self.ready
        waiting = []
        for one in self.asked:
            late = now - one.since >= _PATIENCE
            fitting = [each for each in ready if late or each.id not in one.peer.channels]
            if fitting and self._connect(one, fitting[0]):
                continue
            if self.recovery.reason and now < self.recovery.not_before:
                after = self.recovery.not_before - now
                refused = Refused(one.request, self.spec.key, self.recovery.reason, after)
                one.peer.send(refused)
            else:
                waiting.append(one)
        self.asked = waiting

    def _connect(self, asked: Asked, replica: Replica) -> bool:
        """Give a channel to who has asked for one; whether there is one to be had."""
        channel = replica.serve()
        if channel is None:
            return False
        asked.peer.channels.add(replica.id)
        asked.peer.send(Connected(asked.request, self.spec.key, replica.id), channel)
        return True

    def _offer(self, peer: Peer, replica: Replica) -> None:
        channel = replica.serve()
        if channel is not None:
            peer.channels.add(replica.id)
            peer.send(Offer(self.spec.key, replica.id), channel)

    def _tell(self, message: Prepared | Failed) -> None:
        if message != self._told:
            self._told = message
            for peer in self.peers:
                peer.send(message)

    def _settled(self, replica: Replica, now: float) -> bool:
        answered = self._answered_at >= replica.loaded_at
        return answered or now - replica.loaded_at >= SETTLING_SECONDS
