"""What can go wrong, without a word about any protocol.

Each edge maps these classes to its own statuses in one place. A message says what was wrong,
where, and what would be right; it never holds a secret, a traceback or a path of the host.
"""

from __future__ import annotations

from typing import ClassVar


class ModelyardError(Exception):
    """Base of all expected failures. `code` is stable: clients may branch on it."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(ModelyardError):
    """The request itself is wrong and will be wrong again."""

    code = "invalid"


class Interrupted(Invalid):
    """The request's body ended early. What came of it may have been kept."""

    code = "interrupted"


class Unauthenticated(ModelyardError):
    """No key, or one that is unknown, revoked or expired."""

    code = "unauthenticated"


class Forbidden(ModelyardError):
    """A good key whose scope is too small."""

    code = "forbidden"


class NotFound(ModelyardError):
    """There is no such thing, or not for this tenant: the two look the same."""

    code = "not_found"


class Conflict(ModelyardError):
    """The request is good, but not in the state that things are in."""

    code = "conflict"


class Mismatch(ModelyardError):
    """An idempotency key that was used before with another request."""

    code = "idempotency_mismatch"


class TooLarge(ModelyardError):
    """Over a documented bound."""

    code = "too_large"


class UnsupportedFormat(ModelyardError):
    """A file or body in a format that is not on the allow-list."""

    code = "unsupported_format"


class NotInstalled(ModelyardError):
    """An optional extra is missing on the server; the message names it."""

    code = "not_installed"


class Unavailable(ModelyardError):
    """Not now. `retry_after` is in seconds."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(Unavailable):
    """More than the key or its tenant may ask at present; it will be good later."""

    code = "rate_limited"


class BudgetExceeded(ModelyardError):
    """What the key or its tenant may spend is spent. `resets` is in seconds, where it does."""

    code = "budget_exceeded"

    def __init__(self, message: str, *, resets: int | None = None) -> None:
        super().__init__(message)
        self.resets = resets


class ReplicaDied(Unavailable):
    """The replica ended while it had the request. It may have been that request's fault."""

    code = "replica_died"


class NotBegun(Unavailable):
    """The replica ended before it had the request: another may be asked."""

    code = "not_begun"


class ModelFailed(ModelyardError):
    """The model failed, or answered what its signature does not allow."""

    code = "model_failed"


class Poisonous(ModelyardError):
    """The same request has killed replicas of this model before; it is not tried again."""

    code = "poisonous"


class StorageFull(Unavailable):
    """The server has no room for what was sent; nothing that it had is lost."""

    code = "storage_full"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=60)


class DeadlineExceeded(ModelyardError):
    """The time that the client or the deployment allows is over; nothing was answered."""

    code = "deadline_exceeded"


class LostLease(ModelyardError):
    """A worker acted for a job that is no longer its own (the fence has moved on)."""

    code = "lost_lease"


def first_line(error: BaseException) -> str:
    """What a library says in its first line, without the trace that may follow."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
