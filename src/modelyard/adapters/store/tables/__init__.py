"""The tables. A change here needs a migration in `migrations/versions`; a test compares the two.

Every table that belongs to a tenant has `tenant_id`. Ids are UUIDv7, so ordering by id is
ordering by the time of making. Here and nowhere else `metadata` is known to hold all of them.
"""

import modelyard.adapters.store.tables.guards  # noqa: F401 - the triggers
from modelyard.adapters.store.tables.base import MAX_NUMBER, metadata
from modelyard.adapters.store.tables.billing import (
    billing_profiles,
    credits,
    invoices,
    number_series,
    platform_usage,
    prices,
    usage_events,
)
from modelyard.adapters.store.tables.deployment import (
    deployments,
    gateways,
    listing_shares,
    listings,
    replicas,
    subscriptions,
)
from modelyard.adapters.store.tables.platform import journal_offsets, leases, revision
from modelyard.adapters.store.tables.registry import (
    aliases,
    evaluations,
    model_versions,
    models,
    providers,
)
from modelyard.adapters.store.tables.tenancy import (
    api_keys,
    budget_alerts,
    budget_periods,
    idempotency_keys,
    login_failures,
    members,
    quotas,
    tenants,
    users,
)
from modelyard.adapters.store.tables.training import (
    dataset_profiles,
    dataset_versions,
    datasets,
    job_events,
    jobs,
    uploads,
)

__all__ = [
    "MAX_NUMBER",
    "aliases",
    "api_keys",
    "billing_profiles",
    "budget_alerts",
    "budget_periods",
    "credits",
    "dataset_profiles",
    "dataset_versions",
    "datasets",
    "deployments",
    "evaluations",
    "gateways",
    "idempotency_keys",
    "invoices",
    "job_events",
    "jobs",
    "journal_offsets",
    "leases",
    "listing_shares",
    "listings",
    "login_failures",
    "members",
    "metadata",
    "model_versions",
    "models",
    "number_series",
    "platform_usage",
    "prices",
    "providers",
    "quotas",
    "replicas",
    "revision",
    "subscriptions",
    "tenants",
    "uploads",
    "usage_events",
    "users",
]
