"""The reconciler: brings what is observed to what is desired, one look at a time.

Each pass reads everything and decides from that alone, so a controller that died in the middle
of one leaves nothing to clean up. Only what references mean is remembered from pass to pass, and
only while the revision stays: what moves them, raises it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from modelyard.core.clock import Clock
from modelyard.core.errors import ModelyardError
from modelyard.core.ports import Store
from modelyard.deployment.deployment import (
    Deployment,
    DeploymentState,
    DeploymentStatus,
    ReplicaReport,
    ReplicaState,
    Target,
)
from modelyard.deployment.ports import DeploymentTransaction
from modelyard.deployment.service import target_of
from modelyard.registry.model import Reference
from modelyard.registry.service import resolve

_log = logging.getLogger(__name__)

ALIVE: Final = timedelta(seconds=10)
"""A gateway that has not reported for so long does not count."""

FORGOTTEN: Final = timedelta(minutes=10)


class Reconciler:
    """One pass at a time over every deployment."""

    def __init__(self, store: Store[DeploymentTransaction], clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._revision = -1
        self._meant: dict[tuple[str, str], Target | str] = {}

    def reconcile(self) -> int:
        """Bring every deployment's target and status up to date; return how many changed."""
        now = self._clock.now()
        with self._store.read() as tx:
            if (revision := tx.revision()) != self._revision:
                self._revision = revision
                self._meant.clear()
            board = tx.board()
            gateways = board.gateways(now - ALIVE)
            reports = {(r.deployment_id, r.version_id, r.gateway_id): r for r in board.reports()}
            observed = []
            for deployment in board.all():
                status = self._status(tx, deployment, gateways, reports)
                if status != deployment.status:
                    observed.append((deployment, status))
        if observed:
            self._write(observed)
        return len(observed)

    def forget_silent_gateways(self) -> None:
        """Drop gateways that have been silent for long."""
        with self._store.begin() as tx:
            tx.board().forget_gateways(self._clock.now() - FORGOTTEN)

    def _status(
        self,
        tx: DeploymentTransaction,
        deployment: Deployment,
        gateways: list[str],
        reports: dict[tuple[str, str, str], ReplicaReport],
    ) -> DeploymentStatus:
        target = self._target(tx, deployment)
        if isinstance(target, str):
            # What served before goes on serving: a broken wish is no reason to stop.
            return DeploymentStatus(
                DeploymentState.FAILED, target, deployment.generation, deployment.status.target
            )
        mine = [
            report
            for gateway in gateways
            if (report := reports.get((deployment.id, target.version_id, gateway))) is not None
            # What a gateway says of the spec before is no word on this one.
            and report.generation == deployment.generation
        ]
        return _observe(deployment.generation, target, mine, len(gateways))

    def _target(self, tx: DeploymentTransaction, deployment: Deployment) -> Target | str:
        """What the deployment's reference means now, or why it means nothing that can be served."""
        wish = (deployment.tenant_id, deployment.spec.model)
        if wish not in self._meant:
            try:
                version = resolve(tx.models(deployment.tenant_id), Reference.parse(wish[1]))
                self._meant[wish] = target_of(version)
            except ModelyardError as error:
                self._meant[wish] = error.message
        return self._meant[wish]

    def _write(self, observed: Iterable[tuple[Deployment, DeploymentStatus]]) -> None:
        with self._store.begin() as tx:
            for deployment, status in observed:
                if not tx.board().observe(deployment.id, deployment.generation, status):
                    continue
                before = deployment.status
                if status.target != before.target:
                    tx.bump()
                if (status.state, status.reason) == (before.state, before.reason):
                    continue
                _log.info(
                    "deployment observed",
                    extra={
                        "deployment": deployment.name,
                        "state": status.state,
                        "reason": status.reason,
                    },
                )


def _observe(
    generation: int, target: Target, reports: list[ReplicaReport], gateways: int
) -> DeploymentStatus:
    ready = sum(report.state is ReplicaState.READY for report in reports)
    failed = [report for report in reports if report.state is ReplicaState.FAILED]
    if failed:
        state, reason = DeploymentState.FAILED, failed[0].reason
    elif gateways and ready == gateways:
        state, reason = DeploymentState.READY, ""
    else:
        state, reason = DeploymentState.PENDING, f"{ready} of {gateways} gateways serve it"
    # Gateways of one host count the same replicas, or fewer while they do not have them all yet.
    counts = [report.replicas for report in reports if report.replicas is not None]
    replicas = max(counts, default=None)
    return DeploymentStatus(state, reason, generation, target, ready, gateways, replicas)
