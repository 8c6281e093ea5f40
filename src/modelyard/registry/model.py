"""A model: a name under which versions follow one another, and aliases that point at them."""

from __future__ import annotations

from datetime import datetime

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.names import check_name


class Model(msgspec.Struct, frozen=True):
    """A model. `latest` is the number of its newest version that is ready, 0 while it has none.

    `versions` is how many numbers were given, those of failed versions among them. `intended_use`
    is for its cards: what it is for, and what it is not for.
    """

    id: str
    name: str
    created_at: datetime
    latest: int = 0
    description: str = ""
    versions: int = 0
    intended_use: str = ""


class Alias(msgspec.Struct, frozen=True):
    """A movable name for a version, such as `champion`."""

    name: str
    version: int
    updated_at: datetime


class Reference(msgspec.Struct, frozen=True):
    """A model as users write it: `churn`, `churn:3` or `churn@champion`.

    Without a version or an alias it means the newest version that is ready.
    """

    model: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises Invalid for anything but the three forms."""
        if "@" in text:
            name, _, alias = text.partition("@")
            return cls(check_name("model", name), alias=check_name("alias", alias))
        name, colon, number = text.partition(":")
        check_name("model", name)
        if not colon:
            return cls(name)
        if not number.isascii() or not number.isdigit() or not 1 <= len(number) <= 9:
            raise Invalid(f"version {number[:20]!r} of model '{name}' must be a number such as 3")
        return cls(name, version=int(number))

    def __str__(self) -> str:
        if self.alias is not None:
            return f"{self.model}@{self.alias}"
        return self.model if self.version is None else f"{self.model}:{self.version}"
