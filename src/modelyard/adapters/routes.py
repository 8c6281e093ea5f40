"""How targets, keys and quotas become what a gateway knows: rooms meet the data plane here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from modelyard.core.tensors import Signature
from modelyard.deployment.deployment import DeploymentSpec
from modelyard.registry.artifact import Format
from modelyard.registry.provider import Provider
from modelyard.registry.version import ModelVersion
from modelyard.serving.limits.quota import WantedQuota
from modelyard.serving.ports import KeyEntry, WantedArtifact, WantedProvider, WantedRoute
from modelyard.tenancy.key import ApiKey
from modelyard.tenancy.quota import Quota


def wanted_route(
    deployment_id: str,
    tenant_id: str,
    name: str,
    spec: DeploymentSpec,
    version: ModelVersion,
    providers: Sequence[Provider] = (),
    *,
    generation: int,
) -> WantedRoute:
    """The route of a deployment to its target. `providers` are the tenant's.

    A version that has no form to be served is wanted all the same, without artifacts: it is the
    runtime that says why not, and the gateway that reports it.
    """
    elsewhere = any(one.format is Format.UPSTREAM for one in version.served)
    return WantedRoute(
        deployment_id=deployment_id,
        tenant_id=tenant_id,
        name=name,
        model=version.model,
        version=version.number,
        version_id=version.id,
        signature=version.signature or Signature((), ()),
        artifacts=tuple(
            WantedArtifact(one.role, one.name, one.format.value, one.digest, one.size)
            for one in version.served
        ),
        options=spec.options,
        trust=version.trust,
        profile=version.profile,
        providers=tuple(map(wanted_provider, providers)) if elsewhere else (),
        generation=generation,
    )


def wanted_provider(provider: Provider) -> WantedProvider:
    """A provider as a gateway needs it."""
    spec = provider.spec
    return WantedProvider(
        provider.id,
        provider.name,
        spec.base_url,
        provider.sealed,
        spec.forward_headers,
        spec.timeouts,
    )


def wanted_quota(quota: Quota, since: int, spent: int) -> WantedQuota:
    """A quota of which so much was spent in the period that began at `since`."""
    return WantedQuota(
        id=quota.id,
        tenant_id=quota.tenant_id,
        key_id=quota.key_id,
        measure=quota.measure,
        period=quota.period,
        amount=quota.amount,
        strict=quota.strict,
        zone=quota.zone,
        since=since,
        spent=spent,
        deployment=quota.deployment,
        each_caller=quota.each_caller,
    )


def key_entries(key: ApiKey, now: datetime) -> list[KeyEntry]:
    """What a gateway looks a key up by: its secret, and the one before while that is good."""
    grant = key.grant
    entries = [KeyEntry(key.hash, grant, key.expires_at)]
    until = key.former_until
    if key.former_hash is not None and until is not None and until > now:
        ends = until if key.expires_at is None else min(until, key.expires_at)
        entries.append(KeyEntry(key.former_hash, grant, ends))
    return entries
