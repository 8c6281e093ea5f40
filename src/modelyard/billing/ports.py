"""What this room needs from the store and from the journal's files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from modelyard.billing.charge import Used
from modelyard.billing.credit import Credit
from modelyard.billing.invoice import Invoice
from modelyard.billing.period import Period
from modelyard.billing.price import Price
from modelyard.billing.profile import BillingProfile
from modelyard.billing.usage import UsageQuery, UsageSum
from modelyard.core.events import PredictionMade
from modelyard.core.pages import Page, PageRequest


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


class ChargedUsage(Protocol):
    """What the ledger holds that one tenant is charged for, or earns by."""

    def first(self, since: datetime) -> datetime | None:
        """When the first thing with a price was used, from then on."""
        ...

    def used(self, period: Period) -> list[Used]:
        """What the tenant used in the period that had a price."""
        ...

    def sold(self, period: Period) -> list[Used]:
        """What other tenants used of its deployments in the period that had a price."""
        ...

    def count_before(self, moment: datetime) -> int:
        """How many entries there are from before the moment, with a price or without."""
        ...


class InvoiceRepository(Protocol):
    """The invoices of one tenant."""

    def add(self, draft: Invoice) -> None:
        """Keep a new draft. Raises Conflict when there is one."""
        ...

    def change(self, invoice: Invoice) -> None:
        """Write a draft anew, finalise it, or change the state of a final one; what that says
        cannot be changed.
        """
        ...

    def get(self, invoice_id: str) -> Invoice:
        """Raises NotFound. To be changed, where the transaction writes."""
        ...

    def draft(self) -> Invoice | None:
        """The one draft, if there is one."""
        ...

    def in_force(self) -> list[Invoice]:
        """Those that are final and not void."""
        ...

    def any_void(self) -> bool:
        """Whether there is a void one."""
        ...

    def list(self, page: PageRequest) -> Page[Invoice]:
        """Newest first."""
        ...


class CreditRepository(Protocol):
    """The credit of one tenant. Append-only."""

    def add(self, credit: Credit) -> None:
        """Keep a change."""
        ...

    def list(self) -> Sequence[Credit]:
        """All of them, newest first."""
        ...


class ProfileRepository(Protocol):
    """The billing profile of one tenant."""

    def get(self) -> BillingProfile | None:
        """None before one is put."""
        ...

    def put(self, profile: BillingProfile) -> None:
        """Put it in place of the one before."""
        ...


class NumberSeries(Protocol):
    """Numbers without gaps: one that is taken in a transaction which fails is given again."""

    def lock(self, series: str) -> None:
        """Let nobody else take a number of the series before this transaction ends."""
        ...

    def next(self, series: str) -> str:
        """The next one, such as INV-000001."""
        ...


class NamedTenant(Protocol):
    """A tenant, as far as bills are concerned."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


class Tenants(Protocol):
    """Who there is."""

    def named(self, name: str) -> NamedTenant:
        """Raises NotFound."""
        ...

    def get(self, tenant_id: str) -> NamedTenant:
        """Raises NotFound."""
        ...

    def ids(self) -> Sequence[str]:
        """Of all of them."""
        ...


class InvoicingTransaction(Protocol):
    """A transaction over invoices and what they are made of."""

    def charged(self, tenant_id: str) -> ChargedUsage: ...

    def ledger(self) -> UsageLedger: ...

    def invoices(self, tenant_id: str) -> InvoiceRepository: ...

    def credits(self, tenant_id: str) -> CreditRepository: ...

    def billing_profiles(self, tenant_id: str) -> ProfileRepository: ...

    def series(self) -> NumberSeries: ...

    def tenants(self) -> Tenants: ...


class BillingTransaction(Protocol):
    """A transaction over prices and usage."""

    def prices(self, tenant_id: str) -> PriceRepository: ...

    def usage(self, tenant_id: str) -> UsageRepository: ...

    def ledger(self) -> UsageLedger: ...

    def bump(self) -> None:
        """Tell every gateway, once this commits."""
        ...
