"""`modelyard invoices`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from modelyard.cli.display import Json, facts, listing, print_json, table, terminal
from modelyard.cli.failure import CommandFailed
from modelyard_client import Client
from modelyard_client.invoices import BillingProfile, Invoice, Party


def draft(*, json: Json = False) -> None:
    """Draw up the next invoice, or bring its draft up to date."""
    with Client() as client:
        invoice = client.invoices.draft()
    _show(invoice, json=json)


def list_all(*, json: Json = False) -> None:
    """List the invoices, newest first."""
    with Client() as client:
        invoices = client.invoices.list()
    if json:
        print_json(invoices)
        return
    rows = [
        (
            each.id,
            each.number or "-",
            each.state,
            f"{each.period_start:%Y-%m-%d}",
            f"{each.period_end:%Y-%m-%d}",
            f"{each.total:f} {each.currency}",
            f"{each.due:f} {each.currency}",
        )
        for each in invoices
    ]
    headings = ("ID", "NUMBER", "STATE", "FROM", "BEFORE", "TOTAL", "DUE")
    listing(headings, rows, "no invoices: 'modelyard invoices draft'")


def show(invoice: str, /, *, json: Json = False) -> None:
    """Show an invoice with its lines.

    Args:
        invoice: Its id or its number.
    """
    with Client() as client:
        found = client.invoices.get(_id(client, invoice))
    _show(found, json=json)


def finalise(invoice: str, /, *, json: Json = False) -> None:
    """Give a draft its number, for good, once its month is over.

    Args:
        invoice: Its id.
    """
    with Client() as client:
        final = client.invoices.finalise(_id(client, invoice))
    _show(final, json=json)


def pay(invoice: str, /, *, json: Json = False) -> None:
    """Note that an invoice was paid.

    Args:
        invoice: Its id or its number.
    """
    with Client() as client:
        paid = client.invoices.pay(_id(client, invoice))
    if json:
        print_json(paid)
    else:
        terminal().print(f"invoice {paid.number} is {paid.state}")


def void(invoice: str, /, *, reason: str = "", json: Json = False) -> None:
    """Put an invoice out of force; what it was for is on the next one.

    Args:
        invoice: Its id or its number.
        reason: Why.
    """
    with Client() as client:
        voided = client.invoices.void(_id(client, invoice), reason)
    if json:
        print_json(voided)
    else:
        terminal().print(f"invoice {voided.number} is {voided.state}")


def download(
    invoice: str,
    /,
    *,
    to: Path | None = None,
    format: Literal["pdf", "csv"] | None = None,
) -> None:
    """Write an invoice to a file.

    Args:
        invoice: Its id or its number.
        to: The file; its number, here, if not said.
        format: pdf to be sent to a customer, or csv; by the file's ending if not given, else pdf.
    """
    form = format or ("csv" if to is not None and to.suffix.lower() == ".csv" else "pdf")
    with Client() as client:
        found = client.invoices.get(_id(client, invoice))
        target = to or Path(f"{found.number or 'draft'}.{form}")
        size = client.invoices.download(found.id, target, form)
    terminal().print(f"{target}: {size} bytes")


def profile(
    *,
    name: str | None = None,
    address: Annotated[list[str] | None, Parameter(negative="")] = None,
    tax_id: str | None = None,
    email: str | None = None,
    time_zone: str | None = None,
    tax_rate: str | None = None,
    tax_label: str | None = None,
    json: Json = False,
) -> None:
    """Show whom invoices go to, or change what is said.

    Args:
        name: The customer's name; in the operator's tenant, the issuer's.
        address: A line of the address, once for each.
        tax_id: The number that tax offices know them by.
        email: Where invoices go.
        time_zone: Where their months begin and end, such as Europe/Berlin.
        tax_rate: The share that is added: 0.19 is 19 %.
        tax_label: What the tax is called.
    """
    changes = (name, address, tax_id, email, time_zone, tax_rate, tax_label)
    with Client() as client:
        found = client.invoices.profile()
        if any(each is not None for each in changes):
            party = Party(
                name=_or(name, found.party.name),
                address=found.party.address if address is None else address,
                tax_id=_or(tax_id, found.party.tax_id),
                email=_or(email, found.party.email),
            )
            rate = found.tax_rate if tax_rate is None else _share(tax_rate)
            label, zone = _or(tax_label, found.tax_label), _or(time_zone, found.time_zone)
            found = client.invoices.set_profile(BillingProfile(party, zone, rate, label))
    if json:
        print_json(found)
        return
    terminal().print(
        facts(
            [
                ("name", found.party.name),
                ("address", ", ".join(found.party.address)),
                ("tax id", found.party.tax_id),
                ("email", found.party.email),
                ("time zone", found.time_zone),
                ("tax", f"{found.tax_rate * 100:f} % {found.tax_label}".strip()),
            ]
        )
    )


def statement(month: str, /, *, json: Json = False) -> None:
    """Show what others' calls to your deployments have earned.

    Args:
        month: Such as 2026-11.
    """
    with Client() as client:
        found = client.invoices.statement(month)
    if json:
        print_json(found)
        return
    rows = [
        (each.deployment, each.customer_id, each.quantity, each.unit or "minimum", each.amount)
        for each in found.lines
    ]
    listing(("DEPLOYMENT", "CUSTOMER", "QUANTITY", "UNIT", "AMOUNT"), rows, "nothing was earned")
    terminal().print(f"total {found.total:f} {found.currency}")


def _show(invoice: Invoice, *, json: bool) -> None:
    if json:
        print_json(invoice)
        return
    out = terminal()
    out.print(
        facts(
            [
                ("invoice", invoice.number or "(draft)"),
                ("id", invoice.id),
                ("state", invoice.state),
                ("customer", invoice.customer.name),
                ("from", f"{invoice.period_start:%Y-%m-%d %H:%M} UTC"),
                ("before", f"{invoice.period_end:%Y-%m-%d %H:%M} UTC"),
            ]
        )
    )
    rows = [
        (each.item, each.quantity, each.unit or "minimum", each.terms, each.amount)
        for each in invoice.lines
    ]
    out.print(table(("ITEM", "QUANTITY", "UNIT", "PRICE", "AMOUNT"), rows))
    out.print(
        facts(
            [
                ("subtotal", f"{invoice.subtotal:f}"),
                (invoice.tax_label or "tax", f"{invoice.tax:f}"),
                ("total", f"{invoice.total:f} {invoice.currency}"),
                ("credit", f"{-invoice.credit:f}" if invoice.credit else None),
                ("due", f"{invoice.due:f} {invoice.currency}"),
            ]
        )
    )


def _id(client: Client, name: str) -> str:
    """The id of an invoice that is named by its number."""
    if not name.startswith("INV-"):
        return name
    found = [each.id for each in client.invoices.list() if each.number == name]
    if not found:
        raise CommandFailed(f"there is no invoice '{name}'")
    return found[0]


def _or(value: str | None, otherwise: str) -> str:
    return otherwise if value is None else value


def _share(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise CommandFailed(f"--tax-rate '{text}' must be a share such as 0.19") from None
