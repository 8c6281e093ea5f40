"""`modelyard prices`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from modelyard.cli.display import Json, listing, print_json, terminal
from modelyard.cli.failure import CommandFailed
from modelyard_client import Client


def set_price(
    deployment: str,
    /,
    *,
    per: Annotated[str, Parameter(allow_leading_hyphen=True)],
    json: Json = False,
) -> None:
    """Set what a deployment costs from now on. Usage before keeps the price of its time.

    Args:
        deployment: The deployment.
        per: request=AMOUNT or row=AMOUNT, such as request=0.001, in the server's currency.
    """
    unit, amount = parse_price(per)
    with Client() as client:
        price = client.prices.set(deployment, unit, amount)
        deployed = any(each.name == deployment for each in client.deployments.list())
    if json:
        print_json(price)
        return
    terminal().print(
        f"{price.deployment} costs {price.price.amount:f} {price.price.currency} per {price.unit}"
    )
    if not deployed:
        terminal(error=True).print(f"there is no deployment '{deployment}' yet: is the name right?")


def list_all(*, json: Json = False) -> None:
    """List the prices, newest first."""
    with Client() as client:
        prices = client.prices.list()
    if json:
        print_json(prices)
        return
    rows = [
        (p.deployment, p.unit, p.price.amount, p.price.currency, p.effective_from) for p in prices
    ]
    headings = ("DEPLOYMENT", "PER", "PRICE", "CURRENCY", "FROM")
    listing(headings, rows, "no prices: 'modelyard prices set'")


def parse_price(text: str) -> tuple[str, str]:
    """The unit and the amount of `request=0.001`; the amount is the server's to judge.

    Raises:
        CommandFailed: not of that form.
    """
    unit, equals, amount = text.partition("=")
    if unit not in ("request", "row") or not equals or not amount:
        raise CommandFailed(
            f"--per '{text}' must be request=AMOUNT or row=AMOUNT, such as request=0.001"
        )
    return unit, amount
