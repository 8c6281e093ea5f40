"""A home with models that are deployed, and a key to call them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench.contenders import modelyard
from bench.models import Model
from bench.servers import running

_SECONDS: Final = 60


def make_home(home: Path, models: Iterable[Model], core: int) -> str:
    """Import and deploy the models as a publisher does; gives the consumer's key."""
    from modelyard_client import Client

    with running(modelyard(home, ""), [core]) as server:
        while not (home / "server.json").exists():
            server.alive()
            time.sleep(0.05)
        with Client(f"http://127.0.0.1:{server.port}", (home / "admin.key").read_text()) as client:
            for model in models:
                client.models.import_model(model.name, model.graph)
                client.deployments.put(model.name, model.name)
                client.deployments.wait_ready(model.name, timeout=_SECONDS)
            return client.keys.create("bench", "infer").key
