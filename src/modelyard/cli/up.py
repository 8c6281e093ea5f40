"""`modelyard up`."""

from __future__ import annotations

import os
from pathlib import Path

from modelyard.cli.config import warn_of_misspelt
from modelyard.core import settings


def up(
    *,
    host: str | None = None,
    port: int | None = None,
    grpc_port: int | None = None,
    home: Path | None = None,
    workers: int | None = None,
) -> int:
    """Run a server until it is stopped.

    All other settings come from MODELYARD_* variables and from modelyard.toml in the home: see
    'modelyard config'.

    Args:
        host: Address to listen on; 127.0.0.1 unless you say otherwise.
        port: HTTP port; 0 takes a free one.
        grpc_port: gRPC port; 0 takes a free one, -1 serves no gRPC.
        home: Folder of database, blobs, journal and keys.
        workers: Gateway processes on the port; 0 is one per core.
    """
    flags = {
        "host": host,
        "port": port,
        "grpc_port": grpc_port,
        "home": None if home is None else str(home),
        "workers": workers,
    }
    resolved = settings.resolve(flags, os.environ)
    warn_of_misspelt()
    from modelyard.bootstrap import up

    return up.run(resolved.settings)
