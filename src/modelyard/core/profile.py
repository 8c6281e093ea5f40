"""What a model version costs to hold and to call, as measured when it was tried."""

from __future__ import annotations

import msgspec


class Profile(msgspec.Struct, frozen=True):
    """`memory_bytes` is what loading the model took. A call on n rows takes about `call_seconds`
    and n times `row_seconds`. `stackable`: each row is answered by itself, so rows of several
    requests may share a call.
    """

    memory_bytes: int
    call_seconds: float
    row_seconds: float
    stackable: bool = False
