"""Log records as JSON, one a line, for machines.

By the standard library alone: every process of the server logs like this, and importing what
draws logs on a terminal took a tenth of a gateway's start and 5 MB of it.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

from modelyard.adapters.telemetry.redaction import Redactor

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    # Uvicorn sends each message twice, once with escapes for a terminal.
    "color_message",
}
"""What a record has of itself; the rest was given by `extra`."""


class JsonLines(logging.Formatter):
    """Renders a record as one redacted JSON object."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {"level": record.levelname.lower(), "logger": record.name}
        fields.update((name, value) for name, value in vars(record).items() if name not in _OWN)
        at = datetime.fromtimestamp(record.created, UTC)
        fields["timestamp"] = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        fields["message"] = record.getMessage()
        return json.dumps(self._redactor.fields(fields), ensure_ascii=False, default=repr)
