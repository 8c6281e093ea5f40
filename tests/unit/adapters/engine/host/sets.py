"""Sets of replicas that were never started, and gateways that only take note."""

from __future__ import annotations

import os
from typing import Any

from modelyard.adapters.engine.host.messages import (
    HostMessage,
    ReplicaKey,
    ReplicaOptions,
    ReplicaSpec,
)
from modelyard.adapters.engine.host.replica import Replica
from modelyard.adapters.engine.host.replica_set import ReplicaSet
from modelyard.core.profile import Profile
from modelyard.core.tensors import Signature
from modelyard.core.trust import Trust

PROFILE = Profile(memory_bytes=1000, call_seconds=0.001, row_seconds=0.0001, stackable=True)


class Noted:
    """A gateway."""

    def __init__(self) -> None:
        self.channels: set[str] = set()
        self.heard: list[HostMessage] = []

    def send(self, message: HostMessage, descriptor: int | None = None) -> None:
        self.heard.append(message)
        if descriptor is not None:
            os.close(descriptor)


def made(name: str = "one", profile: Profile | None = PROFILE, **options: Any) -> ReplicaSet:
    """A set without replicas."""
    return ReplicaSet(
        ReplicaSpec(
            key=ReplicaKey(f"dep_{name}", f"ver_{name}"),
            tenant_id="tnt_1",
            name=name,
            model=name,
            version=1,
            format="onnx",
            trust=Trust.INLINE,
            files=(),
            signature=Signature((), ()),
            options=ReplicaOptions(**options),
            profile=profile,
        )
    )


def add(each: ReplicaSet, replica_id: str, need: int = 100, loaded_at: float = 0.0) -> Replica:
    """A replica that counts as loaded."""

    def ignore(*_: object) -> None:
        pass

    replica = Replica(replica_id, each.spec, need, on_loaded=ignore, on_gone=ignore)
    replica.profile = PROFILE
    replica.loaded_at = loaded_at
    each.replicas.append(replica)
    return replica
