"""What several processes are put together from: the home, the database, hashing, tasks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelyard.adapters.home import Home
    from modelyard.adapters.store import SqlStore
    from modelyard.core.settings import Settings
    from modelyard.core.tasks import TaskRunner

MODULE: Final = "modelyard.bootstrap"
COMMAND: Final = (sys.executable, "-m", MODULE)
"""How a process of the server is started; the next word says which."""


def open_home(settings: Settings) -> Home:
    from modelyard.adapters.home import Home

    return Home(settings.home_path)


def database_url(settings: Settings, home: Home) -> str:
    from modelyard.adapters.store import sqlite_url

    return settings.database_url or sqlite_url(home.database).render_as_string()


def open_store(settings: Settings, home: Home) -> SqlStore:
    from modelyard.adapters.store import SqlStore, make_engine

    return SqlStore(make_engine(database_url(settings, home)))


def key_hasher(home: Home) -> Callable[[bytes], bytes]:
    from modelyard.tenancy.key import hash_secret

    pepper = home.pepper()
    return lambda secret: hash_secret(secret, pepper)


def task_runner(settings: Settings, seconds: float | None) -> TaskRunner:
    from modelyard.adapters.engine.runner import ProcessTaskRunner

    return ProcessTaskRunner(COMMAND, settings.task_memory_bytes, seconds)
