"""`modelyard credits`."""

from __future__ import annotations

from modelyard.cli.display import Json, listing, print_json, terminal
from modelyard_client import Client


def add(amount: str, /, *, note: str = "", json: Json = False) -> None:
    """Top up a tenant's credit by what it has paid ahead.

    Args:
        amount: Such as 100.00, in the server's currency.
        note: What for.
    """
    _give("top_up", amount, None, note, json=json)


def note(
    amount: str, /, *, invoice: str | None = None, reason: str = "", json: Json = False
) -> None:
    """Give a credit note.

    Args:
        amount: Such as 2.50, in the server's currency.
        invoice: The id of the invoice that it is for.
        reason: Why.
    """
    _give("credit_note", amount, invoice, reason, json=json)


def list_all(*, json: Json = False) -> None:
    """Show the balance, and what it is made of, newest first."""
    with Client() as client:
        account = client.credits.account()
    if json:
        print_json(account)
        return
    rows = [
        (each.at, each.kind, each.number or "-", f"{each.amount:f} {each.currency}", each.note)
        for each in account.items
    ]
    listing(("AT", "KIND", "NUMBER", "AMOUNT", "NOTE"), rows, "no credit")
    currency = account.items[0].currency if account.items else ""
    terminal().print(f"balance {account.balance:f} {currency}".rstrip())


def _give(kind: str, amount: str, invoice: str | None, note: str, *, json: bool) -> None:
    with Client() as client:
        credit = client.credits.give(kind, amount, invoice=invoice, note=note)
        balance = client.credits.account().balance
    if json:
        print_json(credit)
        return
    number = f" ({credit.number})" if credit.number else ""
    terminal().print(
        f"{credit.amount:f} {credit.currency} given{number}; balance {balance:f} {credit.currency}"
    )
