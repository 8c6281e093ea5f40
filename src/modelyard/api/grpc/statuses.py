"""The one place where an error becomes a gRPC status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from grpc import StatusCode

from modelyard.core import errors
from modelyard.core.errors import ModelyardError

_CODE: Final[Mapping[type[ModelyardError], StatusCode]] = {
    errors.Invalid: StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.Forbidden: StatusCode.PERMISSION_DENIED,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.Conflict: StatusCode.FAILED_PRECONDITION,
    errors.Mismatch: StatusCode.FAILED_PRECONDITION,
    errors.TooLarge: StatusCode.RESOURCE_EXHAUSTED,
    errors.UnsupportedFormat: StatusCode.INVALID_ARGUMENT,
    errors.NotInstalled: StatusCode.UNIMPLEMENTED,
    errors.RateLimited: StatusCode.RESOURCE_EXHAUSTED,
    errors.BudgetExceeded: StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.ModelFailed: StatusCode.UNKNOWN,
    errors.Poisonous: StatusCode.FAILED_PRECONDITION,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.LostLease: StatusCode.ABORTED,
}

Metadata = tuple[tuple[str, str], ...]


def code_of(error: ModelyardError) -> StatusCode:
    """The gRPC status of an expected failure."""
    for kind in type(error).__mro__:
        if (code := _CODE.get(kind)) is not None:
            return code
    return StatusCode.INTERNAL


def metadata_of(error: ModelyardError) -> Metadata:
    """The trailing metadata that belongs to the failure.

    `retry-after` is in seconds, for people; `grpc-retry-pushback-ms` is what a gRPC client with a
    retry policy goes by.
    """
    if isinstance(error, errors.Unavailable):
        return (
            ("retry-after", str(error.retry_after)),
            ("grpc-retry-pushback-ms", str(error.retry_after * 1000)),
        )
    if isinstance(error, errors.BudgetExceeded):
        # Less than nothing: do not try again.
        return (("grpc-retry-pushback-ms", "-1"),)
    return ()
