"""Processes for the kill tests: `write FOLDER START SYNC` and `ingest FOLDER DATABASE`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from modelyard.core.events import PredictionMade


def record(number: int) -> PredictionMade:
    """A record whose key is its number, so that usage by key tells how often it is in."""
    name = f"{number:08}"
    return PredictionMade(f"req_{name}", 1, "tnt_1", name, "d", "m", 1, 200, 1, 1, 1, 1)


async def write(folder: Path, start: int, sync_ms: int | None) -> None:
    """Append for ever, several at a time, and say what was acknowledged."""
    from modelyard.serving.journal import JournalWriter

    writer = JournalWriter(folder, sync_ms, rotate=20_000)
    number = start

    async def one(mine: int) -> None:
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        writer.append(record(mine), lambda error: told.set_result(None))
        await told
        # One write to the pipe: a kill cannot tear it, nor hold it back.
        os.write(1, f"{mine:08}\n".encode())

    while True:
        group = range(number, number + 1 + number % 7)
        await asyncio.gather(*(one(mine) for mine in group))
        number = group.stop


def ingest(folder: Path, database: Path) -> None:
    """Ingest for ever."""
    from modelyard.adapters.journal import JournalFiles
    from modelyard.adapters.store import open_store, sqlite_url
    from modelyard.billing.ingest import Ingester

    ingester = Ingester(open_store(sqlite_url(database)), JournalFiles(folder))
    os.write(1, b"ready\n")
    while True:
        ingester.ingest()


if __name__ == "__main__":
    if sys.argv[1] == "write":
        sync = None if sys.argv[4] == "always" else 5
        asyncio.run(write(Path(sys.argv[2]), int(sys.argv[3]), sync))
    else:
        ingest(Path(sys.argv[2]), Path(sys.argv[3]))
