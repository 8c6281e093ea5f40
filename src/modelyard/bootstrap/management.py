"""The management API of a gateway, on the services that it needs."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from modelyard.bootstrap.parts import open_sandbox, sealer, task_runner
from modelyard.core import collector
from modelyard.core.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelyard.adapters.home import Home
    from modelyard.adapters.store import SqlStore
    from modelyard.api.asgi import App
    from modelyard.core.settings import Settings
    from modelyard.serving.service import InferenceService
    from modelyard.serving.tracing import Tracer
    from modelyard.serving.upstream.ports import HttpCalls
    from modelyard.training.jobs import JobBounds


def make_management(
    settings: Settings,
    home: Home,
    store: SqlStore,
    service: InferenceService,
    tracer: Tracer | None,
    calls: Callable[[], HttpCalls],
) -> App:
    """The application. Importing what it needs takes a second or so."""
    from modelyard.adapters.blobs import local_blobs
    from modelyard.adapters.documents.invoice_pdf import invoice_pdf
    from modelyard.adapters.documents.invoice_table import invoice_csv
    from modelyard.adapters.documents.usage_export import (
        usage_cloudevents,
        usage_csv,
        usage_parquet,
    )
    from modelyard.adapters.passwords import Argon2Hasher
    from modelyard.adapters.upstream.probe import HttpProber
    from modelyard.api.management import ManagementServices, make_management_app
    from modelyard.api.management.receiving import UploadReceiver
    from modelyard.api.management.traces import TracedApp
    from modelyard.billing.export import UsageExporter
    from modelyard.billing.invoicing import InvoicingService
    from modelyard.billing.service import BillingService
    from modelyard.deployment.service import DeploymentService
    from modelyard.registry.providers import ProviderService
    from modelyard.registry.service import RegistryService
    from modelyard.tenancy.catalogue import CatalogueService
    from modelyard.tenancy.people import PeopleService
    from modelyard.tenancy.quotas import QuotaService
    from modelyard.tenancy.service import TenancyService
    from modelyard.tenancy.tenant import DEFAULT
    from modelyard.training.datasets import DatasetService
    from modelyard.training.importing import ImportService
    from modelyard.training.jobs import JobService
    from modelyard.training.scratch import ScratchRoot

    clock, blobs = SystemClock(), local_blobs(home.blobs)
    registry = RegistryService(store, clock)
    runner = task_runner(settings, settings.inspect_seconds)
    scratch = ScratchRoot(home.scratch)
    app = make_management_app(
        ManagementServices(
            tenancy=TenancyService(store, clock, home.pepper()),
            people=PeopleService(store, clock, Argon2Hasher(), home.pepper()),
            catalogue=CatalogueService(store, clock),
            registry=registry,
            providers=ProviderService(store, clock, sealer(home), HttpProber(calls)),
            deployments=DeploymentService(store, clock),
            billing=BillingService(store, clock, settings.currency),
            invoicing=InvoicingService(store, clock, settings.currency, DEFAULT),
            exporter=UsageExporter(store, clock),
            usage_formats={
                "csv": usage_csv,
                "cloudevents": usage_cloudevents,
                "parquet": usage_parquet,
            },
            invoice_documents={"pdf": invoice_pdf, "csv": invoice_csv},
            datasets=DatasetService(
                store=store, blobs=blobs, runner=runner, scratch=scratch, clock=clock
            ),
            jobs=JobService(store, clock, _bounds(settings)),
            imports=ImportService(
                store=store,
                blobs=blobs,
                runner=runner,
                scratch=scratch,
                registry=registry,
                admit_code=open_sandbox().capabilities.admit_code,
            ),
            uploads=UploadReceiver(store, blobs, clock, home.uploads, settings.max_upload_bytes),
            quotas=QuotaService(store, clock, partial(_zone_of, store)),
            use=service.use,
            store=store,
            clock=clock,
            draining=lambda: service.draining,
        )
    )
    # Its modules and models stay, as those of the gateway do.
    collector.keep()
    return app if tracer is None else TracedApp(app, tracer)


def _bounds(settings: Settings) -> JobBounds:
    from modelyard.training.jobs import JobBounds

    return JobBounds(
        workers=settings.trial_workers or os.cpu_count() or 1,
        seconds=settings.job_seconds or None,
        memory_bytes=settings.task_memory_bytes,
    )


def _zone_of(store: SqlStore, tenant_id: str) -> str:
    with store.read() as tx:
        profile = tx.billing_profiles(tenant_id).get()
    return "UTC" if profile is None else profile.time_zone
