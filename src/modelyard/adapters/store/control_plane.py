"""What gateways follow, and where they report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import and_, delete, insert, or_, select

from modelyard.adapters.routes import key_entries, wanted_route
from modelyard.adapters.store.catalogue import offered_to
from modelyard.adapters.store.keys import KEY
from modelyard.adapters.store.models import VERSION
from modelyard.adapters.store.providers import OF_ALL, provider_of
from modelyard.adapters.store.quotas import rates_of_deployments, wanted_quotas
from modelyard.adapters.store.tables import (
    api_keys,
    deployments,
    gateways,
    listings,
    model_versions,
    models,
    replicas,
    subscriptions,
    tenants,
)
from modelyard.adapters.store.tenant_rows import upsert
from modelyard.adapters.store.transaction import REVISION, SqlStore
from modelyard.core.clock import Clock
from modelyard.core.quotas import Measure
from modelyard.deployment.deployment import ReplicaState
from modelyard.registry.provider import Provider
from modelyard.registry.version import ModelVersion
from modelyard.serving.ports import ReplicaOutcome, Wanted, WantedName
from modelyard.tenancy.key import ApiKey

KEYS: Final = select(*KEY).where(api_keys.c.revoked_at.is_(None))

ROUTES: Final = (
    select(
        deployments.c.id,
        deployments.c.tenant_id,
        deployments.c.name,
        deployments.c.spec,
        deployments.c.generation,
        *VERSION,
    )
    .join(
        model_versions,
        and_(
            model_versions.c.id == deployments.c.target_version_id,
            model_versions.c.tenant_id == deployments.c.tenant_id,
        ),
    )
    .join(models, models.c.id == model_versions.c.model_id)
    .where(deployments.c.target_version_id.is_not(None))
)

SUBSCRIPTIONS: Final = (
    select(subscriptions.c.tenant_id, subscriptions.c.name, listings.c.deployment_id)
    .join(listings, listings.c.id == subscriptions.c.listing_id)
    .join(tenants, tenants.c.id == subscriptions.c.tenant_id)
    .where(offered_to(tenants.c.name))
)


class SqlControlPlane:
    """The control plane over the database. Every call raises Unavailable while that is away."""

    def __init__(self, store: SqlStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def revision(self) -> int:
        with self._store.connection(writes=False) as connection:
            number: int = connection.execute(REVISION).scalar_one()
            return number

    def wanted(self) -> Wanted:
        now = self._clock.now()
        in_force = or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now)
        with self._store.connection(writes=False) as connection:
            number = connection.execute(REVISION).scalar_one()
            keys = connection.execute(KEYS.where(in_force)).all()
            routes = connection.execute(ROUTES).all()
            providers: defaultdict[str, list[Provider]] = defaultdict(list)
            for row in connection.execute(OF_ALL):
                providers[row.tenant_id].append(provider_of(row))
            names = connection.execute(SUBSCRIPTIONS).all()
            quotas = wanted_quotas(connection)
            priced = any(quota.measure is Measure.MONEY for quota in quotas)
            rates = rates_of_deployments(connection) if priced else {}
        return Wanted(
            number,
            [entry for row in keys for entry in key_entries(ApiKey(*row), now)],
            [
                wanted_route(
                    deployment_id,
                    tenant_id,
                    name,
                    spec,
                    ModelVersion(*version),
                    providers[tenant_id],
                    generation=generation,
                )
                for deployment_id, tenant_id, name, spec, generation, *version in routes
            ],
            [WantedName(*row) for row in names],
            quotas,
            rates,
        )

    def report(self, gateway_id: str, now: datetime, outcomes: Sequence[ReplicaOutcome]) -> None:
        rows = [
            {
                "gateway_id": gateway_id,
                "deployment_id": outcome.deployment_id,
                "version_id": outcome.version_id,
                "generation": outcome.generation,
                "state": ReplicaState.FAILED if outcome.reason else ReplicaState.READY,
                "reason": outcome.reason,
                "replicas": outcome.replicas,
            }
            for outcome in outcomes
        ]
        with self._store.connection(writes=True) as connection:
            alive = upsert(connection.dialect, gateways).values(id=gateway_id, seen_at=now)
            connection.execute(
                alive.on_conflict_do_update(
                    index_elements=[gateways.c.id], set_={"seen_at": alive.excluded.seen_at}
                )
            )
            connection.execute(delete(replicas).where(replicas.c.gateway_id == gateway_id))
            if rows:
                connection.execute(insert(replicas), rows)

    def leave(self, gateway_id: str) -> None:
        with self._store.connection(writes=True) as connection:
            connection.execute(delete(gateways).where(gateways.c.id == gateway_id))
