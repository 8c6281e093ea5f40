"""Log records as lines for a person at a terminal."""

from __future__ import annotations

import logging
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor

from modelyard.adapters.telemetry.redaction import Redactor

_MANY_LINES: Final = frozenset({"exception", "stack"})


def make_formatter(redactor: Redactor, *, colors: bool) -> logging.Formatter:
    """Renders redacted records, in which no value forges a line of its own."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.StackInfoRenderer(),
            _without_colours,
            _redact(redactor),
            _one_line,
            structlog.dev.ConsoleRenderer(
                colors=colors, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
            ),
        ],
    )


def _redact(redactor: Redactor) -> Processor:
    def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
        return redactor.fields(event)

    return redact


def _without_colours(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Uvicorn sends each message twice, once with escapes for a terminal."""
    event.pop("color_message", None)
    return event


def _one_line(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """No value may forge a line of its own or speak to the terminal."""
    return {
        name: _printable(value, "\n\t" if name in _MANY_LINES else "")
        for name, value in event.items()
    }


def _printable(value: Any, also: str) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(
        c if c.isprintable() or c in also else c.encode("unicode_escape").decode() for c in value
    )
