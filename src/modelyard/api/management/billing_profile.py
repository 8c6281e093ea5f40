"""`/api/v1/billing-profile`: whom invoices go to, and by what rules."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Router, get, put
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Services
from modelyard.api.management.prices import text
from modelyard.api.management.problems import refusals
from modelyard.billing import profile as entities
from modelyard.billing.profile import MAX_LINES, MAX_TEXT
from modelyard.core.access import Permission
from modelyard.core.money import parse_amount

Text = Annotated[str, Meta(max_length=MAX_TEXT)]


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who issues or gets an invoice, as it stands there."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, examples=["Acme Ltd"])]
    address: Annotated[list[Text], Meta(max_length=MAX_LINES)] = []
    tax_id: Text = ""
    email: Text = ""


class BillingProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant's party, the time zone of its months, and the tax that is added.

    `tax_rate` is a share, exact and as text: 0.19 is 19 %.
    """

    party: Party
    time_zone: Annotated[str, Meta(max_length=60, examples=["Europe/Berlin"])] = "UTC"
    tax_rate: Annotated[str, Meta(max_length=20, examples=["0.19"])] = "0"
    tax_label: Annotated[str, Meta(max_length=MAX_TEXT, examples=["VAT"])] = ""


@get("/", summary="Show the billing profile", responses=refusals(), sync_to_thread=True)
def show_profile(services: Services, caller: Caller) -> BillingProfile:
    """Until one is set, it is the tenant's name, UTC and no tax."""
    return _shown(services.invoicing.profile(caller.tenant_id))


@put("/", summary="Set the billing profile", responses=refusals(413, 415), sync_to_thread=True)
def set_profile(
    services: Services, caller: Caller, data: JSONBody[BillingProfile]
) -> BillingProfile:
    """For invoices from now on. The one of the operator's tenant is the issuer's."""
    party = entities.Party(
        data.party.name, tuple(data.party.address), data.party.tax_id, data.party.email
    )
    rate = parse_amount(data.tax_rate)
    profile = entities.BillingProfile(party, data.time_zone, rate, data.tax_label)
    services.invoicing.set_profile(caller.tenant_id, profile)
    return _shown(profile)


def shown_party(party: entities.Party) -> Party:
    """A party as the API tells it."""
    return Party(party.name, list(party.address), party.tax_id, party.email)


def _shown(profile: entities.BillingProfile) -> BillingProfile:
    return BillingProfile(
        shown_party(profile.party), profile.time_zone, text(profile.tax_rate), profile.tax_label
    )


billing_profile: Final = Router(
    "/billing-profile",
    route_handlers=[show_profile, set_profile],
    tags=["billing"],
    opt=needs(Permission.BILLING_READ, Permission.OPERATE),
)
