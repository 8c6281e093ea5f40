"""Logs: one form for every library, on stderr, with secrets hidden.

Everything logs through the standard library. Machines get JSON, a terminal gets lines that
structlog renders.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Literal, TextIO

from modelyard.adapters.telemetry.json_lines import JsonLines
from modelyard.adapters.telemetry.redaction import Redactor

LogFormat = Literal["auto", "json", "console"]

_QUIETER: Final = {
    # Every request is in the usage journal.
    "uvicorn.access": logging.WARNING,
    "sqlalchemy.engine": logging.WARNING,
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
}
_OWN_HANDLERS: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "sqlalchemy", "alembic")

logger = logging.getLogger(__name__)


def configure_logs(log_format: LogFormat, level: str, secrets: Iterable[str] = ()) -> None:
    """Have this process log to stderr; called once, at its start.

    Uncaught exceptions are logged as well, so that they are redacted too. `secrets` are values to
    hide that have no look of their own.
    """
    root = logging.getLogger()
    root.handlers[:] = [make_handler(log_format, sys.stderr, secrets)]
    root.setLevel(level.upper())
    for name in _OWN_HANDLERS:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name, least in _QUIETER.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def make_handler(
    log_format: LogFormat, stream: TextIO, secrets: Iterable[str] = ()
) -> logging.Handler:
    """A handler that writes redacted lines to the stream; `auto` is JSON unless on a terminal."""
    terminal = stream.isatty()
    console = log_format == "console" or (log_format == "auto" and terminal)
    redactor = Redactor(secrets)
    handler = _Handler(stream)
    handler.setFormatter(_console(redactor, colors=terminal) if console else JsonLines(redactor))
    return handler


def _console(redactor: Redactor, *, colors: bool) -> logging.Formatter:
    from modelyard.adapters.telemetry.console_lines import make_formatter

    return make_formatter(redactor, colors=colors)


class _Handler(logging.StreamHandler[TextIO]):
    """Says that a record could not be written, where the original would print its arguments."""

    def handleError(self, record: logging.LogRecord) -> None:
        kind = sys.exc_info()[0]
        name = kind.__name__ if kind else "an error"
        try:
            self.stream.write(f"a record of {record.name} could not be written: {name}\n")
        except (OSError, ValueError):
            # The stream itself is gone; there is nowhere left to say so.
            return


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        logger.info("interrupted")
        return
    logger.critical("the process ends on an error", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and arguments.exc_type is not SystemExit:
        logger.critical(
            "a thread ended on an error",
            exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback),
            extra={"in_thread": arguments.thread.name if arguments.thread else "?"},
        )
