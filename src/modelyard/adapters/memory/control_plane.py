"""What gateways follow, and where they report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from modelyard.adapters.memory.catalogue import offered
from modelyard.adapters.memory.providers import providers_of
from modelyard.adapters.memory.quotas import wanted_quotas
from modelyard.adapters.memory.state import State
from modelyard.adapters.memory.store import MemoryStore
from modelyard.adapters.routes import key_entries, wanted_route
from modelyard.core.clock import Clock
from modelyard.deployment.deployment import ReplicaReport, ReplicaState
from modelyard.serving.ports import ReplicaOutcome, Wanted, WantedName, WantedRoute


class MemoryControlPlane:
    """The control plane over a store in memory."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def revision(self) -> int:
        with self._store.read() as tx:
            return tx.state.revision

    def wanted(self) -> Wanted:
        now = self._clock.now()
        with self._store.read() as tx:
            keys = [
                entry
                for key in tx.state.keys.values()
                if key.revoked_at is None and (key.expires_at is None or key.expires_at > now)
                for entry in key_entries(key, now)
            ]
            names, quotas = _names(tx.state), wanted_quotas(tx.state)
            return Wanted(tx.state.revision, keys, _routes(tx.state), names, quotas)

    def report(self, gateway_id: str, now: datetime, outcomes: Sequence[ReplicaOutcome]) -> None:
        with self._store.begin() as tx:
            tx.state.gateways[gateway_id] = now
            tx.state.reports[gateway_id] = tuple(
                ReplicaReport(
                    gateway_id,
                    outcome.deployment_id,
                    outcome.version_id,
                    outcome.generation,
                    ReplicaState.FAILED if outcome.reason else ReplicaState.READY,
                    outcome.reason,
                    outcome.replicas,
                )
                for outcome in outcomes
            )

    def leave(self, gateway_id: str) -> None:
        with self._store.begin() as tx:
            tx.state.gateways.pop(gateway_id, None)
            tx.state.reports.pop(gateway_id, None)


def _routes(state: State) -> list[WantedRoute]:
    routes = []
    for deployment in state.deployments.values():
        target = deployment.status.target
        if target is not None:
            version = state.versions.get((deployment.tenant_id, target.model, target.number))
            if version is not None and version.id == target.version_id:
                routes.append(
                    wanted_route(
                        deployment.id,
                        deployment.tenant_id,
                        deployment.name,
                        deployment.spec,
                        version,
                        providers_of(state, deployment.tenant_id),
                        generation=deployment.generation,
                    )
                )
    return routes


def _names(state: State) -> list[WantedName]:
    names = []
    for (tenant_id, name), subscription in state.subscriptions.items():
        listing = offered(state, subscription.listing_id, tenant_id)
        if listing is not None:
            names.append(WantedName(tenant_id, name, listing.deployment_id))
    return names
