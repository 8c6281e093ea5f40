"""A tenant: whoever owns models, holds keys and pays bills."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

DEFAULT: Final = "default"
"""The tenant that every installation begins with."""


class Tenant(msgspec.Struct, frozen=True):
    """A tenant."""

    id: str
    name: str
    created_at: datetime
