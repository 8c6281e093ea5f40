"""Logins that have ended, and wrong passwords of long ago: what the controller forgets of them."""

from __future__ import annotations

from typing import Protocol

from modelyard.core.clock import Clock
from modelyard.core.ports import Store
from modelyard.tenancy.ports import UserRepository
from modelyard.tenancy.throttle import FORGOTTEN
from modelyard.tenancy.user import ENDED


class LoginTransaction(Protocol):
    """A transaction over people."""

    def users(self) -> UserRepository: ...


class Logins:
    """The logins of all people."""

    def __init__(self, store: Store[LoginTransaction], clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def forget(self) -> int:
        """Delete logins that ended, in any way, `ENDED` ago, and failures that count no more;
        return how many. What was done with a login stays in the ledger under its id.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            users = tx.users()
            return users.forget_logins(now - ENDED) + users.forget_failures(now - FORGOTTEN)
