"""How fast logins may be tried: slower with every failure, by account and by address."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from modelyard.core.errors import RateLimited
from modelyard.tenancy.user import Failures

FREE: Final = {"account": 5, "address": 20}
"""Failures in a row that cost nothing; from there on the pause doubles with each."""
LONGEST: Final = timedelta(minutes=15)
FORGOTTEN: Final = timedelta(hours=24)
"""Failures that lie so far back do not count any more."""


def subject(kind: str, value: str) -> str:
    """What failures are counted under. Names that are no account's are not kept as they are: a
    password may have been typed in the place of one.
    """
    return f"{kind}:{hashlib.sha256(value.encode()).hexdigest()[:32]}"


def check(kind: str, failures: Failures | None, now: datetime) -> None:
    """Raises RateLimited while it is too early to try again."""
    if failures is None or now >= failures.last_at + FORGOTTEN:
        return
    beyond = failures.count - FREE[kind]
    if beyond < 0:
        return
    pause = min(timedelta(seconds=2 ** min(beyond, 20)), LONGEST)
    left = (failures.last_at + pause - now).total_seconds()
    # A clock that was set back keeps nobody out for longer than the pause itself.
    if left > 0:
        seconds = max(1, round(min(left, pause.total_seconds())))
        raise RateLimited(
            f"too many logins have failed: try again in {seconds} s", retry_after=seconds
        )
