"""What several processes are put together from: the home, the database, hashing, tasks."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modelyard.adapters.engine.sandbox.sandbox import Sandbox
    from modelyard.adapters.home import Home
    from modelyard.adapters.store import SqlStore
    from modelyard.adapters.store.transaction import SqlTransaction
    from modelyard.billing.ingest import Ingester
    from modelyard.core.events import PredictionMade
    from modelyard.core.ports import Sealer
    from modelyard.core.settings import Settings
    from modelyard.core.tasks import TaskRunner

_log = logging.getLogger(__name__)

MODULE: Final = "modelyard.bootstrap"
COMMAND: Final = (sys.executable, "-m", MODULE)
"""How a process of the server is started; the next word says which."""

CAPABILITIES: Final = "_MODELYARD_CAPABILITIES"
"""The variable by which the supervisor tells its children what `judge_sandbox` found."""


def open_home(settings: Settings) -> Home:
    from modelyard.adapters.home import Home

    return Home(settings.home_path)


def database_url(settings: Settings, home: Home) -> str:
    from modelyard.adapters.store import sqlite_url

    return settings.database_url or sqlite_url(home.database).render_as_string()


def open_store(settings: Settings, home: Home) -> SqlStore:
    from modelyard.adapters.store import SqlStore, make_engine

    return SqlStore(make_engine(database_url(settings, home)))


def make_ingester(home: Home, store: SqlStore) -> Ingester[SqlTransaction]:
    """What takes the journal into the ledger, and charges the budgets with it."""
    from modelyard.adapters.journal import JournalFiles
    from modelyard.billing.ingest import Ingester

    def charge(tx: SqlTransaction, events: Sequence[PredictionMade]) -> None:
        tx.budgets().charge(events)

    return Ingester(store, JournalFiles(home.journal), charge)


def key_hasher(home: Home) -> Callable[[bytes], bytes]:
    from modelyard.tenancy.key import hash_secret

    pepper = home.pepper()
    return lambda secret: hash_secret(secret, pepper)


def sealer(home: Home) -> Sealer:
    from modelyard.adapters.secrets.sealing import AesGcmSealer

    return AesGcmSealer(home.sealing_key())


def judge_sandbox(settings: Settings) -> None:
    """Find out how well this host can shut code in, once for all processes started from here.

    Raises:
        Invalid: not as well as the settings demand.
    """
    from modelyard.adapters.engine.sandbox.detection import detect
    from modelyard.core.sandboxing import SandboxLevel

    capabilities = detect()
    if settings.sandbox != "auto":
        capabilities.demand(SandboxLevel(settings.sandbox))
    if capabilities.level is not SandboxLevel.FULL:
        level, missing = capabilities.level, "; ".join(capabilities.missing)
        _log.warning("the sandbox is not full", extra={"level": level, "missing": missing})
    os.environ[CAPABILITIES] = msgspec.json.encode(capabilities).decode()


def open_sandbox() -> Sandbox:
    """As `judge_sandbox` found it in the process that started this one, or else as it is now."""
    from modelyard.adapters.engine.sandbox.detection import detect
    from modelyard.adapters.engine.sandbox.sandbox import Sandbox
    from modelyard.core.sandboxing import Capabilities

    found = os.environ.get(CAPABILITIES)
    return Sandbox(msgspec.json.decode(found, type=Capabilities) if found else detect())


def task_runner(settings: Settings, seconds: float | None) -> TaskRunner:
    from modelyard.adapters.engine.runner import ProcessTaskRunner
    from modelyard.training.engines import TRY_ENGINE

    return ProcessTaskRunner(
        open_sandbox(),
        MODULE,
        settings.task_memory_bytes,
        seconds,
        deaf_servers=frozenset({TRY_ENGINE}),
    )
