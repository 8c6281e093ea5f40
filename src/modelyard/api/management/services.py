"""What the management API is an edge of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Gateways import this module; what each service is made of is for whoever builds them.
    from modelyard.api.management.ports import ManagementTransaction
    from modelyard.api.management.receiving import UploadReceiver
    from modelyard.billing.export import Entry, UsageExporter
    from modelyard.billing.invoice import Invoice
    from modelyard.billing.invoicing import InvoicingService
    from modelyard.billing.service import BillingService
    from modelyard.core.clock import Clock
    from modelyard.core.ports import Store
    from modelyard.deployment.service import DeploymentService
    from modelyard.registry.providers import ProviderService
    from modelyard.registry.service import RegistryService
    from modelyard.serving.limits.ports import Use
    from modelyard.tenancy.catalogue import CatalogueService
    from modelyard.tenancy.people import PeopleService
    from modelyard.tenancy.quotas import QuotaService
    from modelyard.tenancy.service import TenancyService
    from modelyard.training.datasets import DatasetService
    from modelyard.training.importing import ImportService
    from modelyard.training.jobs import JobService


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementServices:
    """The use cases behind the routes.

    `use` says what is used of a quota at present. `draining` says whether the process is on its
    way out: endless answers (a job's events) end then, and their clients come back to another
    process. `invoice_documents` write an invoice in a format such as `pdf`, `usage_formats` entries
    of the ledger in one such as `csv`.
    """

    tenancy: TenancyService
    people: PeopleService
    catalogue: CatalogueService
    registry: RegistryService
    providers: ProviderService
    deployments: DeploymentService
    billing: BillingService
    exporter: UsageExporter
    usage_formats: Mapping[str, Callable[[Iterator[list[Entry]]], Iterator[bytes]]]
    invoicing: InvoicingService
    invoice_documents: Mapping[str, Callable[[Invoice], bytes]]
    datasets: DatasetService
    jobs: JobService
    imports: ImportService
    uploads: UploadReceiver
    quotas: QuotaService
    use: Callable[[str], Use | None]
    store: Store[ManagementTransaction]
    clock: Clock
    draining: Callable[[], bool] = _never
