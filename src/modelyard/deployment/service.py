"""Deployments: use cases."""

from __future__ import annotations

import msgspec

from modelyard.core import ids
from modelyard.core.clock import Clock
from modelyard.core.errors import Conflict
from modelyard.core.names import check_name
from modelyard.core.pages import Page, PageRequest
from modelyard.core.ports import Store
from modelyard.deployment.deployment import Deployment, DeploymentSpec, DeploymentStatus, Target
from modelyard.deployment.ports import DeploymentTransaction
from modelyard.registry.model import Reference
from modelyard.registry.service import resolve
from modelyard.registry.version import ModelVersion


class DeploymentService:
    """Puts, shows and deletes deployments. The reconciler makes them true."""

    def __init__(self, store: Store[DeploymentTransaction], clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def put(
        self, tenant_id: str, name: str, spec: DeploymentSpec, *, keep_options: bool = False
    ) -> tuple[Deployment, bool]:
        """Make the deployment, or change it to `spec`; True when it is new.

        With `keep_options` those of a deployment that is there stay. The same spec again changes
        nothing. The spec is resolved here as well as by the reconciler, so that a mistake is told
        to whoever made it.

        Raises:
            Invalid: a name or reference in the wrong form.
            NotFound: no such model, version or alias.
            Conflict: the version has no form that can be served; the message says why.
        """
        check_name("deployment", name)
        reference = Reference.parse(spec.model)
        now = self._clock.now()
        with self._store.begin() as tx:
            version = resolve(tx.models(tenant_id), reference)
            target = target_of(version)
            deployments = tx.deployments(tenant_id)
            present = deployments.find(name)
            if keep_options and present is not None:
                spec = DeploymentSpec(spec.model, present.spec.options)
            if present is not None and present.spec == spec:
                return present, False
            if present is None:
                deployment = Deployment(
                    id=ids.new_id(ids.DEPLOYMENT),
                    tenant_id=tenant_id,
                    name=name,
                    spec=spec,
                    generation=1,
                    status=DeploymentStatus(target=target),
                    created_at=now,
                    updated_at=now,
                )
            else:
                deployment = msgspec.structs.replace(
                    present,
                    spec=spec,
                    generation=present.generation + 1,
                    status=msgspec.structs.replace(
                        present.status, state=DeploymentStatus().state, reason="", target=target
                    ),
                    updated_at=now,
                )
            deployments.put(deployment)
            tx.bump()
            return deployment, present is None

    def get(self, tenant_id: str, name: str) -> Deployment:
        """Raises NotFound."""
        with self._store.read() as tx:
            return tx.deployments(tenant_id).get(name)

    def list(self, tenant_id: str, page: PageRequest) -> Page[Deployment]:
        """By name."""
        with self._store.read() as tx:
            return tx.deployments(tenant_id).list(page)

    def delete(self, tenant_id: str, name: str) -> None:
        """Stop serving under this name. Raises NotFound."""
        with self._store.begin() as tx:
            tx.deployments(tenant_id).delete(name)
            tx.bump()


def target_of(version: ModelVersion) -> Target:
    """The version as something to serve.

    Raises:
        Conflict: it has failed, or nothing of it can be served; the message says why.
    """
    if not version.served:
        parity = "" if version.parity is None else version.parity.reason
        reason = version.reason or parity or "it has no ONNX form"
        raise Conflict(
            f"version {version.number} of model '{version.model}' cannot be served: {reason}"
        )
    return Target(version.model, version.number, version.id)
