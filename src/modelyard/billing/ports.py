"""What this room needs from the store and from the journal's files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from modelyard.billing.price import Price
from modelyard.billing.usage import UsageQuery, UsageSum
from modelyard.core.events import PredictionMade


class PriceRepository(Protocol):
    """The price book of one tenant."""

    def add(self, price: Price) -> None:
        """Keep a new price."""
        ...

    def list(self) -> list[Price]:
        """All of them, newest first."""
        ...


class UsageRepository(Protocol):
    """The usage that one tenant is concerned in."""

    def sums(self, query: UsageQuery) -> list[UsageSum]:
        """Added up by groups and price, ordered by groups."""
        ...


class UsageLedger(Protocol):
    """Where ingested events go, across tenants. Append-only."""

    def offset(self, journal_id: str) -> int:
        """How many bytes of this journal file are in already."""
        ...

    def append(self, journal_id: str, end: int, events: Sequence[PredictionMade]) -> None:
        """Add events and move the file's offset to `end`, in one transaction.

        An event whose request id is in already is left out. The price of each event is the one
        of its deployment that was in force when its request began, in the book of the
        deployment's owner.
        """
        ...

    def prices(self, price_ids: Collection[str]) -> Mapping[str, Price]:
        """These prices by id, whoever set them: what is in the ledger names them."""
        ...


class UsageSource(Protocol):
    """The journal files."""

    def journals(self) -> Sequence[tuple[str, int]]:
        """The id and the size in bytes of each file, oldest first."""
        ...

    def read(self, journal_id: str, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes from `offset`."""
        ...

    def retire(self, journal_id: str, ingested: int) -> bool:
        """Drop the file if its writer is gone and nothing whole follows the ingested bytes."""
        ...


class BillingTransaction(Protocol):
    """A transaction over prices and usage."""

    def prices(self, tenant_id: str) -> PriceRepository: ...

    def usage(self, tenant_id: str) -> UsageRepository: ...

    def ledger(self) -> UsageLedger: ...
