"""The journal's files as the ingester reads them."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from modelyard.core.journal import SUFFIX, is_torn, unframe

_log = logging.getLogger(__name__)

DAMAGED: Final = ".damaged"


class JournalFiles:
    """The journal files in a folder, whichever process writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def journals(self) -> Sequence[tuple[str, int]]:
        """The id and the size in bytes of each file, oldest first."""
        # Ids begin with their time, so the order of names is the order of creation.
        files = sorted(self._folder.glob(f"*{SUFFIX}"))
        return [(file.name.removesuffix(SUFFIX), file.stat().st_size) for file in files]

    def read(self, journal_id: str, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes from `offset`."""
        with self._path(journal_id).open("rb") as file:
            file.seek(offset)
            return file.read(limit)

    def retire(self, journal_id: str, ingested: int) -> bool:
        """Drop the file if its writer is gone and nothing whole follows the ingested bytes.

        A file whose rest is more than an interrupted write is set aside, for a person to look at.
        """
        path = self._path(journal_id)
        with path.open("rb") as file:
            try:
                # The writer holds this lock for as long as it lives.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            file.seek(ingested)
            rest = file.read()
            if any(True for _ in unframe(rest)):
                return False
            if is_torn(rest):
                path.unlink()
            else:
                path.rename(path.with_name(path.name + DAMAGED))
                _log.error(
                    "journal file is damaged and was set aside",
                    extra={"journal": journal_id, "ingested": ingested, "rest": len(rest)},
                )
            return True

    def _path(self, journal_id: str) -> Path:
        return self._folder / f"{journal_id}{SUFFIX}"
