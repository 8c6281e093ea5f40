"""All that an in-memory store holds. Values never change: a transaction replaces them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar

from modelyard.billing.price import Price
from modelyard.core.events import PredictionMade
from modelyard.core.idempotency import Claim
from modelyard.core.jobs import Job, JobEvent
from modelyard.core.pages import Page, PageRequest
from modelyard.core.uploads import Upload
from modelyard.deployment.deployment import Deployment, ReplicaReport
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.model import Alias, Model
from modelyard.registry.provider import Provider
from modelyard.registry.version import ModelVersion
from modelyard.tenancy.key import ApiKey
from modelyard.tenancy.listing import Listing, Subscription
from modelyard.tenancy.quota import Alert, Quota
from modelyard.tenancy.tenant import Tenant
from modelyard.tenancy.user import Failures, Member, User
from modelyard.training.dataset import Dataset, DatasetVersion
from modelyard.training.profile import DataProfile

T = TypeVar("T")


@dataclass
class State:
    """One table a noun. A key that begins with `tenant` belongs to that tenant."""

    tenants: dict[str, Tenant] = field(default_factory=dict)  # by name
    keys: dict[str, ApiKey] = field(default_factory=dict)  # by id
    models: dict[tuple[str, str], Model] = field(default_factory=dict)  # tenant, name
    versions: dict[tuple[str, str, int], ModelVersion] = field(
        default_factory=dict
    )  # tenant, model, number
    aliases: dict[tuple[str, str, str], Alias] = field(default_factory=dict)  # tenant, model, name
    providers: dict[tuple[str, str], Provider] = field(default_factory=dict)  # tenant, name
    datasets: dict[tuple[str, str], Dataset] = field(default_factory=dict)  # tenant, name
    evaluations: dict[tuple[str, str], Evaluation] = field(
        default_factory=dict
    )  # tenant, version id
    dataset_versions: dict[tuple[str, str, int], DatasetVersion] = field(
        default_factory=dict
    )  # tenant, dataset, number
    profiles: dict[tuple[str, str], DataProfile] = field(
        default_factory=dict
    )  # tenant, dataset version id
    uploads: dict[tuple[str, str], Upload] = field(default_factory=dict)  # tenant, digest
    jobs: dict[str, Job] = field(default_factory=dict)  # by id
    stories: dict[str, tuple[JobEvent, ...]] = field(default_factory=dict)  # by job id
    deployments: dict[str, Deployment] = field(default_factory=dict)  # by id
    gateways: dict[str, datetime] = field(default_factory=dict)  # when seen, by id
    reports: dict[str, tuple[ReplicaReport, ...]] = field(default_factory=dict)  # by gateway
    prices: dict[str, tuple[str, Price]] = field(default_factory=dict)  # tenant and price, by id
    usage: dict[str, tuple[PredictionMade, str | None]] = field(
        default_factory=dict
    )  # event and price id, by request id
    quotas: dict[str, Quota] = field(default_factory=dict)  # by id
    spent: dict[tuple[str, int], tuple[int, int]] = field(
        default_factory=dict
    )  # spent and told, by quota id and beginning
    alerts: dict[str, Alert] = field(default_factory=dict)  # by id
    offsets: dict[str, int] = field(default_factory=dict)  # by journal id
    users: dict[str, User] = field(default_factory=dict)  # by id
    members: dict[tuple[str, str], Member] = field(default_factory=dict)  # tenant, user
    failures: dict[str, Failures] = field(default_factory=dict)  # by subject
    listings: dict[str, Listing] = field(default_factory=dict)  # by id
    subscriptions: dict[tuple[str, str], Subscription] = field(default_factory=dict)  # tenant, name
    claims: dict[tuple[str, str], Claim] = field(default_factory=dict)  # tenant, key
    leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)  # holder, until
    revision: int = 0

    def copy(self) -> State:
        """A state that can be changed without changing this one."""
        values: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            values[item.name] = value.copy() if isinstance(value, dict) else value
        return State(**values)


def cut(items: Iterable[T], page: PageRequest, key: Callable[[T], str]) -> Page[T]:
    """The page of items in ascending order of their key."""
    rest = [item for item in items if page.after is None or key(item) > page.after]
    return Page.cut(sorted(rest, key=key), page, key)


def cut_newest(items: Iterable[T], page: PageRequest, key: Callable[[T], str]) -> Page[T]:
    """The page of items in descending order of their key."""
    rest = [item for item in items if page.after is None or key(item) < page.after]
    return Page.cut(sorted(rest, key=key, reverse=True), page, key)


def cut_numbered(items: Iterable[T], page: PageRequest, number: Callable[[T], int]) -> Page[T]:
    """The page of items in descending order of their number."""
    after = page.after_number()
    rest = [item for item in items if after is None or number(item) < after]
    ordered = sorted(rest, key=number, reverse=True)
    return Page.cut(ordered, page, lambda item: str(number(item)))
