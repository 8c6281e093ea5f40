"""How long a client gives us."""

from __future__ import annotations

from typing import Final

from modelyard.api.http import Headers
from modelyard.core.errors import Invalid

_TIMEOUT: Final = b"x-request-timeout-ms"


def client_timeout(headers: Headers) -> float | None:
    """Seconds by `X-Request-Timeout-Ms`; None if it is not there. Raises Invalid."""
    value = headers.get(_TIMEOUT)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 9 or int(value) == 0:
        raise Invalid("X-Request-Timeout-Ms must be a number of milliseconds, 1 or more")
    return int(value) / 1000
