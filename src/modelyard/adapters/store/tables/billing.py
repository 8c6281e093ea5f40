"""The tables of prices, what was used, and invoices."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text, text

from modelyard.adapters.store.columns import NAME, Amount, Choice, Json, Moment, Prose
from modelyard.adapters.store.tables.base import metadata, tenant
from modelyard.billing.credit import CreditKind
from modelyard.billing.invoice import Document, InvoiceState
from modelyard.billing.profile import BillingProfile
from modelyard.billing.rate import Rate, Unit

prices: Final = Table(
    "prices",
    metadata,
    Column("id", Text, primary_key=True),
    tenant(),
    Column("deployment", NAME, nullable=False),
    Column("currency", Text, nullable=False),
    Column(
        "rates",
        Json[tuple[Rate, ...]](tuple[Rate, ...]),
        nullable=False,
        server_default=text("'[]'"),
    ),
    Column("effective_from", Moment, nullable=False),
    Column("minimum", Amount),
    # The one tenant for which it holds; empty for all.
    Column("customer_id", Text, nullable=False, server_default=text("''")),
    Index("ix_prices_tenant_id_deployment", "tenant_id", "deployment"),
)

# No foreign keys: what a gateway has served is never refused. `at` is microseconds since 1970.
usage_events: Final = Table(
    "usage_events",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("deployment", NAME, nullable=False),
    Column("model", NAME, nullable=False),
    Column("version", Integer, nullable=False),
    Column("status", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("duration", BigInteger, nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("price_id", Text),
    Column("prompt_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cached_tokens", BigInteger, nullable=False, server_default="0"),
    Column("completion_tokens", BigInteger, nullable=False, server_default="0"),
    Column("finish", Text, nullable=False, server_default=text("''")),
    Column("deployment_id", Text, nullable=False, server_default=text("''")),
    # Whose deployment answered; empty where it is the tenant's own.
    Column("owner_id", Text, nullable=False, server_default=text("''")),
    Column("compute", BigInteger, nullable=False, server_default="0"),
    Index("ix_usage_events_tenant_id_at", "tenant_id", "at"),
    Index(
        "ix_usage_events_owner_id_at",
        "owner_id",
        "at",
        sqlite_where=text("owner_id <> ''"),
        postgresql_where=text("owner_id <> ''"),
    ),
)

# What was used of the platform itself. `at` is microseconds since 1970.
platform_usage: Final = Table(
    "platform_usage",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("unit", Choice(Unit), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("price_id", Text),
    Index("ix_platform_usage_tenant_id_at", "tenant_id", "at"),
)

billing_profiles: Final = Table(
    "billing_profiles",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenants.id"), primary_key=True),
    Column("profile", Json[BillingProfile](BillingProfile), nullable=False),
)

# Triggers see to it that what is final stays as it is.
invoices: Final = Table(
    "invoices",
    metadata,
    Column("id", Text, primary_key=True),
    tenant(),
    Column("state", Choice(InvoiceState), nullable=False),
    Column("number", Text, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("document", Json[Document](Document), nullable=False),
    Column("digest", Text),
    Column("paid_at", Moment),
    Column("voided_at", Moment),
    Column("reason", Prose, nullable=False),
    Index("ix_invoices_tenant_id_id", "tenant_id", "id"),
    Index(
        "uq_invoices_draft",
        "tenant_id",
        unique=True,
        sqlite_where=text("state = 'draft'"),
        postgresql_where=text("state = 'draft'"),
    ),
)

credits: Final = Table(
    "credits",
    metadata,
    Column("id", Text, primary_key=True),
    tenant(),
    Column("at", Moment, nullable=False),
    Column("kind", Choice(CreditKind), nullable=False),
    Column("amount", Amount, nullable=False),
    Column("currency", Text, nullable=False),
    Column("number", Text, unique=True),
    Column("invoice_id", Text),
    Column("note", Prose, nullable=False),
    Index("ix_credits_tenant_id_id", "tenant_id", "id"),
)

number_series: Final = Table(
    "number_series",
    metadata,
    Column("series", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
