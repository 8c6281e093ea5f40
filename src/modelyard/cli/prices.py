"""`modelyard prices`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from modelyard.cli.display import Json, listing, print_json, terminal
from modelyard.cli.failure import CommandFailed
from modelyard_client import Client
from modelyard_client.billing import Price


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
        per: request=AMOUNT, row=AMOUNT or token=INPUT/OUTPUT (or INPUT/CACHED/OUTPUT, each per
            million), such as request=0.001, in the server's currency.
    """
    unit, *amounts = parse_price(per)
    with Client() as client:
        price = client.prices.set(
            deployment,
            unit,
            amounts[-1],
            input_amount=amounts[0] if unit == "token" else None,
            cached_amount=amounts[1] if len(amounts) == 3 else None,
        )
        deployed = any(each.name == deployment for each in client.deployments.list())
    if json:
        print_json(price)
        return
    per = price.unit if price.input is None else "million tokens (input/cached/output)"
    terminal().print(f"{price.deployment} costs {told(price)} {price.price.currency} per {per}")
    if not deployed:
        terminal(error=True).print(f"there is no deployment '{deployment}' yet: is the name right?")


def list_all(*, json: Json = False) -> None:
    """List the prices, newest first."""
    with Client() as client:
        prices = client.prices.list()
    if json:
        print_json(prices)
        return
    rows = [(p.deployment, p.unit, told(p), p.price.currency, p.effective_from) for p in prices]
    headings = ("DEPLOYMENT", "PER", "PRICE", "CURRENCY", "FROM")
    listing(headings, rows, "no prices: 'modelyard prices set'")


def told(price: Price) -> str:
    """The amount, or of tokens the three of them, each for a million."""
    if price.input is None or price.cached is None:
        return f"{price.price.amount:f}"
    amounts = (price.input, price.cached, price.price)
    return "/".join(f"{each.amount:f}" for each in amounts)


def parse_price(text: str) -> tuple[str, ...]:
    """The unit and the amount of `request=0.001`, or the two or three amounts of tokens; they are
    the server's to judge.

    Raises:
        CommandFailed: not of that form.
    """
    unit, equals, amount = text.partition("=")
    amounts = amount.split("/") if unit == "token" else [amount]
    right = len(amounts) in (2, 3) if unit == "token" else unit in ("request", "row")
    if not right or not equals or not all(amounts):
        raise CommandFailed(
            f"--per '{text}' must be request=AMOUNT, row=AMOUNT, such as request=0.001, or "
            "token=INPUT/OUTPUT, each per million"
        )
    return unit, *amounts
