"""PostgreSQL connections that do not wait for ever.

The server's own limits (`statement_timeout`, TCP keep-alives) do not help against a server that
holds still, or a network that swallows what is sent: then nobody ends the wait but the client.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, event

ANSWER_SECONDS: Final = 10.0
"""Longer than any statement may take, so that a slow one is ended by the server."""


class PatientConnection(psycopg.Connection[Any]):
    """Waits `patience` seconds for an answer at most; None is as long as it takes.

    A connection that has waited in vain is closed: what comes on it later belongs to nobody.
    """

    patience: float | None = ANSWER_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        limit = self.patience if timeout is None else timeout
        try:
            return super().wait(gen, interval=interval, timeout=limit)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


def use_patience(engine: Engine) -> None:
    """Have all connections of the engine be patient ones."""
    event.listen(engine, "do_connect", _connect)


@contextmanager
def unlimited(connection: Connection) -> Iterator[None]:
    """Wait as long as it takes, as a migration must."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, PatientConnection):
        raise TypeError("this connection has no patience to change")
    driver.patience = None
    try:
        yield
    finally:
        driver.patience = ANSWER_SECONDS


def _connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> PatientConnection:
    return PatientConnection.connect(*arguments, **options)
