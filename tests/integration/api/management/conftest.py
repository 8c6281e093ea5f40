"""The management application over real services and a database file of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from modelyard.adapters.blobs import local_blobs
from modelyard.adapters.documents.invoice_pdf import invoice_pdf
from modelyard.adapters.documents.invoice_table import invoice_csv
from modelyard.adapters.documents.usage_export import (
    usage_cloudevents,
    usage_csv,
    usage_parquet,
)
from modelyard.adapters.engine.runner import ProcessTaskRunner
from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.adapters.passwords import Argon2Hasher
from modelyard.adapters.secrets.sealing import AesGcmSealer
from modelyard.adapters.store.engine import make_engine, sqlite_url
from modelyard.adapters.store.transaction import SqlStore
from modelyard.api.asgi import App, Receive, Send
from modelyard.api.asgi import Scope as AsgiScope
from modelyard.api.management import ManagementServices, make_management_app
from modelyard.api.management.receiving import UploadReceiver
from modelyard.billing.export import UsageExporter
from modelyard.billing.invoicing import InvoicingService
from modelyard.billing.service import BillingService
from modelyard.core import ids
from modelyard.core.access import Grant, Scope
from modelyard.core.clock import ManualClock
from modelyard.core.secret import Secret
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.deployment.service import DeploymentService
from modelyard.registry.artifact import Artifact, Format
from modelyard.registry.card import Card
from modelyard.registry.provider import Probe, ProviderSpec
from modelyard.registry.providers import ProviderService
from modelyard.registry.service import RegistryService
from modelyard.registry.version import Lineage, ModelVersion, NewVersion
from modelyard.tenancy.catalogue import CatalogueService
from modelyard.tenancy.people import PeopleService
from modelyard.tenancy.quotas import QuotaService
from modelyard.tenancy.service import TenancyService
from modelyard.tenancy.tenant import Tenant
from modelyard.training.dataset import (
    Column,
    ColumnType,
    DatasetVersion,
    FileFormat,
    Inspection,
    NewDatasetVersion,
)
from modelyard.training.datasets import DatasetService
from modelyard.training.importing import ImportService
from modelyard.training.jobs import JobService
from modelyard.training.scratch import ScratchRoot
from tests.databases import store_at

MAX_UPLOAD = 3 << 20


class NobodyAsked:
    """A `Prober` that knows the answer: whether there is a key."""

    async def probe(self, spec: ProviderSpec, key: Secret | None) -> Probe:
        return Probe("" if key is not None else "no key", 1.5, ("gpt",))


class Clock(ManualClock):
    """One that can be set back."""

    def begin(self) -> None:
        """Show the time of a new clock."""
        super().__init__()


class Yard:
    """An installation with two tenants, and clients that come in with a grant of their choice.

    To put the application together takes longer than most tests, so that those of a module share
    it, and a loop with it; what it keeps is new for each of them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database = folder / "yard.db"
        self.uploads = folder / "uploads"
        self._make_folders()
        self.clock = Clock()
        self.store = SqlStore(make_engine(sqlite_url(self._database)))
        self.services = self._services(folder)
        self.app = make_management_app(self.services)

    def begin(self) -> None:
        """Forget everything."""
        self.store.close()
        shutil.rmtree(self._folder)
        self._make_folders()
        store_at(self._database).close()
        self.clock.begin()
        self.tenant, self.other = ids.new_id(ids.TENANT), ids.new_id(ids.TENANT)
        with self.store.begin() as tx:
            for number, tenant_id in enumerate((self.tenant, self.other)):
                tx.tenants().add(
                    Tenant(tenant_id, "default" if number == 0 else "other", self.clock.now())
                )

    def client(
        self, scope: str | None = Scope.MANAGE, *, other: bool = False, app: App | None = None
    ) -> httpx2.AsyncClient:
        """A client whose requests come with a grant, as they do behind the front; None: without."""
        tenant_id = self.other if other else self.tenant
        grant = None if scope is None else Grant("key_caller", tenant_id, scope)
        front = admitting(app or self.app, grant)
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(front), base_url="http://yard/api/v1"
        )

    def version(self, model: str = "churn", tenant: str = "") -> ModelVersion:
        """A registered version that could be served; the first tenant's, or another's."""
        signature = Signature(
            (TensorSpec("features", Datatype.FP32, (-1, 2)),),
            (TensorSpec("label", Datatype.INT64, (-1,)),),
        )
        new = NewVersion(
            signature=signature,
            artifacts=(Artifact("model.onnx", Format.ONNX, "0" * 64, 10),),
            lineage=Lineage("import", "0.1.0"),
            card=Card("classification", "imported"),
        )
        return self.services.registry.register(tenant or self.tenant, model, new)

    def dataset(self, name: str) -> DatasetVersion:
        """A dataset's version, as if its file had been read."""
        columns = tuple(Column(column, ColumnType.STRING, 0, 2) for column in ("plan", "left"))
        inspection = Inspection(FileFormat.CSV, 20, columns, ())
        new = NewDatasetVersion(f"{name}.csv", 10, "0" * 64, "0" * 64, inspection)
        with self.store.begin() as tx:
            return tx.datasets(self.tenant).add_version(name, new, self.clock.now())

    def _make_folders(self) -> None:
        for part in ("uploads", "blobs", "scratch"):
            (self._folder / part).mkdir(parents=True)

    def _services(self, folder: Path) -> ManagementServices:
        store, clock, blobs = self.store, self.clock, local_blobs(folder / "blobs")
        sandbox, target = Sandbox(detect()), "modelyard.bootstrap"
        runner = ProcessTaskRunner(sandbox, target, memory_bytes=4 << 30, seconds=60)
        scratch, registry = ScratchRoot(folder / "scratch"), RegistryService(store, clock)
        return ManagementServices(
            tenancy=TenancyService(store, clock, b"p" * 32),
            people=PeopleService(store, clock, Argon2Hasher(), b"p" * 32),
            catalogue=CatalogueService(store, clock),
            registry=registry,
            providers=ProviderService(store, clock, AesGcmSealer(b"s" * 32), NobodyAsked()),
            deployments=DeploymentService(store, clock),
            billing=BillingService(store, clock, "USD"),
            invoicing=InvoicingService(store, clock, "USD", "default"),
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
            jobs=JobService(store, clock),
            imports=ImportService(
                store=store,
                blobs=blobs,
                runner=runner,
                scratch=scratch,
                registry=registry,
                admit_code=sandbox.capabilities.admit_code,
            ),
            uploads=UploadReceiver(store, blobs, clock, self.uploads, MAX_UPLOAD),
            quotas=QuotaService(store, clock),
            use=lambda quota_id: None,
            store=store,
            clock=clock,
        )


def admitting(app: App, grant: Grant | None) -> App:
    """What the gateway's front does once it knows the key."""

    async def front(scope: AsgiScope, receive: Receive, send: Send) -> None:
        if grant is not None:
            scope["auth"] = grant
        await app(scope, receive, send)

    return front


@pytest.fixture(scope="module")
def shared_yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    yard = Yard(tmp_path_factory.mktemp("yard"))
    yield yard
    yard.store.close()


@pytest.fixture
def yard(shared_yard: Yard) -> Yard:
    """With nothing in it yet."""
    shared_yard.begin()
    return shared_yard
