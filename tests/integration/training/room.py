"""The room's services and worker over SQLite and local files, as in production."""

from pathlib import Path

from modelyard.adapters.blobs import BlobStore, local_blobs
from modelyard.adapters.engine.runner import ProcessTaskRunner
from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.adapters.store import SqlStore
from modelyard.core.clock import SystemClock
from modelyard.core.sandboxing import Capabilities
from modelyard.core.uploads import Upload
from modelyard.registry.service import RegistryService
from modelyard.tenancy.tenant import Tenant
from modelyard.training.attempt import Pace
from modelyard.training.checkpoints import Checkpoints
from modelyard.training.datasets import DatasetService
from modelyard.training.engines import TRY_ENGINE
from modelyard.training.importing import ImportService
from modelyard.training.jobs import TRAIN, JobBounds, JobService
from modelyard.training.scratch import ScratchRoot
from modelyard.training.train_handler import TrainHandler
from modelyard.training.worker import Worker
from tests.databases import store_at

OURS, THEIRS = "tnt_ours", "tnt_theirs"
MEMORY = 8 << 30


class Room:
    """Everything of the room, on one home."""

    def __init__(
        self, home: Path, seconds: float = 60, capabilities: Capabilities | None = None
    ) -> None:
        self.home = home
        self.clock = SystemClock()
        self.store: SqlStore = store_at(home / "modelyard.db")
        self.blobs: BlobStore = local_blobs(home / "blobs")
        self.scratch = ScratchRoot(home / "scratch")
        self.registry = RegistryService(self.store, self.clock)
        self.jobs = JobService(self.store, self.clock, JobBounds(workers=2, seconds=3600))
        sandbox, target = Sandbox(capabilities or detect()), "modelyard.bootstrap"
        runner = ProcessTaskRunner(
            sandbox, target, MEMORY, seconds, deaf_servers=frozenset({TRY_ENGINE})
        )
        self.datasets = DatasetService(
            store=self.store,
            blobs=self.blobs,
            runner=runner,
            scratch=self.scratch,
            clock=self.clock,
        )
        self.imports = ImportService(
            store=self.store,
            blobs=self.blobs,
            runner=runner,
            scratch=self.scratch,
            registry=self.registry,
            admit_code=sandbox.capabilities.admit_code,
        )
        self.worker = Worker(
            store=self.store,
            runner=ProcessTaskRunner(sandbox, target, MEMORY),
            handlers={TRAIN: TrainHandler(self.store, self.blobs, self.registry, self.clock)},
            scratch=self.scratch,
            checkpoints=Checkpoints(home / "checkpoints"),
            clock=self.clock,
            worker_id="wrk_1",
            pace=Pace(poll=0.05, story=0.1),
        )
        with self.store.begin() as tx:
            for tenant in (OURS, THEIRS):
                tx.tenants().add(Tenant(tenant, tenant, self.clock.now()))

    def upload(self, data: bytes, tenant: str = OURS) -> str:
        path = self.home / "received"
        path.write_bytes(data)
        digest = self.blobs.put(path)
        with self.store.begin() as tx:
            tx.uploads(tenant).add(Upload(digest, len(data), self.clock.now()))
        return digest
