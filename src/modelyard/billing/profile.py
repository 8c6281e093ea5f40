"""Who a bill goes to, and by what rules: the billing profile of a tenant."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from modelyard.billing.period import zone_of
from modelyard.core.errors import Invalid

MAX_LINES: Final = 6
MAX_TEXT: Final = 120


class Party(msgspec.Struct, frozen=True):
    """Who issues or gets an invoice, as it stands there."""

    name: str
    address: tuple[str, ...] = ()
    tax_id: str = ""
    email: str = ""


class BillingProfile(msgspec.Struct, frozen=True):
    """A tenant's party, its time zone, and what tax is added: `tax_rate` is a share, 0.19 for 19 %.

    Raises:
        Invalid: a text or a number out of bounds, or an unknown time zone.
    """

    party: Party
    time_zone: str = "UTC"
    tax_rate: Decimal = Decimal(0)
    tax_label: str = ""

    def __post_init__(self) -> None:
        party = self.party
        texts = (party.name, *party.address, party.tax_id, party.email, self.tax_label)
        if len(party.address) > MAX_LINES or any(len(text) > MAX_TEXT for text in texts):
            raise Invalid(
                f"a profile has up to {MAX_LINES} lines of address, each text up to {MAX_TEXT} "
                "characters"
            )
        if not all(text.isprintable() for text in texts) or not party.name.strip():
            raise Invalid("a profile needs a name, and its texts must be printable")
        if not self.tax_rate.is_finite() or not 0 <= self.tax_rate < 1:
            raise Invalid("tax_rate is a share of at least 0 and less than 1, such as 0.19")
        zone_of(self.time_zone)
