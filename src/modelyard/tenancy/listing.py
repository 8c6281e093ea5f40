"""The catalogue: what one tenant offers others, and what others have taken."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from modelyard.core.errors import Invalid

MAX_DESCRIPTION: Final = 10_000
MAX_TERMS: Final = 50_000
MAX_EXAMPLES: Final = 10
MAX_EXAMPLE: Final = 4096
"""Bytes of one example as JSON."""
MAX_SHARED: Final = 1000


class Terms(msgspec.Struct, frozen=True):
    """How a deployment is offered: to all tenants if `public`, and to those named in any case.

    `examples` are JSON values that show a call; `terms` is what a subscriber agrees to.
    """

    description: str = ""
    terms: str = ""
    examples: tuple[Any, ...] = ()
    public: bool = False
    shared_with: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises Invalid for what is over its bound."""
        if len(self.description) > MAX_DESCRIPTION:
            raise Invalid(f"'description' has over {MAX_DESCRIPTION} characters")
        if len(self.terms) > MAX_TERMS:
            raise Invalid(f"'terms' have over {MAX_TERMS} characters")
        if len(self.examples) > MAX_EXAMPLES:
            raise Invalid(f"there are over {MAX_EXAMPLES} 'examples'")
        if any(len(msgspec.json.encode(each)) > MAX_EXAMPLE for each in self.examples):
            raise Invalid(f"an example is over {MAX_EXAMPLE} bytes of JSON")
        if len(self.shared_with) > MAX_SHARED:
            raise Invalid(f"'shared_with' names over {MAX_SHARED} tenants")
        if not self.public and not self.shared_with:
            raise Invalid("an offer is 'public' or names tenants in 'shared_with'")


class Listing(msgspec.Struct, frozen=True):
    """A deployment that its tenant offers. `publisher` is that tenant's name."""

    id: str
    tenant_id: str
    publisher: str
    deployment_id: str
    deployment: str
    terms: Terms
    created_at: datetime
    updated_at: datetime


class Subscription(msgspec.Struct, frozen=True):
    """An offer that a tenant has taken, and the name under which it calls it.

    `terms` is what it agreed to. `offered` says whether the offer still stands, for this tenant:
    if not, the name is answered as one that does not exist.
    """

    id: str
    tenant_id: str
    name: str
    listing_id: str
    publisher: str
    deployment: str
    terms: str
    created_at: datetime
    offered: bool = True
