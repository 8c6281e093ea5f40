"""Who is calling, and how far their key reaches."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Scope(StrEnum):
    """What a key may do. Each scope holds the ones before it."""

    INFER = "infer"
    MANAGE = "manage"
    ADMIN = "admin"

    def allows(self, needed: Scope) -> bool:
        """Whether a key of this scope may do what `needed` asks."""
        order = list(Scope)
        return order.index(self) >= order.index(needed)


class Grant(msgspec.Struct, frozen=True):
    """What a presented key stands for, once it has been recognised."""

    key_id: str
    tenant_id: str
    scope: Scope
