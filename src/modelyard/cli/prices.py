"""`modelyard prices`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from cyclopts import Parameter

from modelyard.cli.display import Json, listing, print_json, terminal
from modelyard.cli.failure import CommandFailed
from modelyard.cli.keys import zoned
from modelyard_client import Client
from modelyard_client.billing import Price, Rate

_UNITS: Final = (
    "request",
    "row",
    "input_token",
    "cached_token",
    "output_token",
    "compute_second",
    "training_second",
    "gb_hour",
)


def set_price(
    deployment: str = "",
    /,
    *,
    per: Annotated[list[str], Parameter(allow_leading_hyphen=True, negative="")],
    free: Annotated[list[str] | None, Parameter(negative="")] = None,
    volume: Annotated[bool, Parameter(negative="")] = False,
    minimum: str | None = None,
    customer: Annotated[str, Parameter(name="--for")] = "",
    start: Annotated[datetime | None, Parameter(name="--from")] = None,
    json: Json = False,
) -> None:
    """Set what a deployment costs from now on. Usage before keeps the price of its time.

    Args:
        deployment: The deployment; none for training_second and gb_hour, which are the platform's.
        per: UNIT=AMOUNT such as request=0.001, once for each unit: request, row, input_token,
            cached_token, output_token (each per million), compute_second, training_second or
            gb_hour; or token=INPUT/OUTPUT (or INPUT/CACHED/OUTPUT). Tiers are
            UNIT=AMOUNT:UPTO,AMOUNT:UPTO,AMOUNT.
        free: UNIT=NUMBER of units that cost nothing in a month.
        volume: All units cost what the last one does, not each what its tier says.
        minimum: What a month costs at least in which the deployment was used.
        customer: The id of the one tenant for which the price holds; the operator may say its name.
        start: From this day or time on, not from now; UTC unless it says otherwise.
    """
    asked = _body(per, free or [], volume=volume)
    with Client() as client:
        price = client.prices.set(
            deployment,
            asked.get("unit"),
            asked.get("amount"),
            input_amount=asked.get("input_amount"),
            cached_amount=asked.get("cached_amount"),
            rates=asked.get("rates"),
            minimum=minimum,
            customer=_tenant_id(client, customer),
            effective_from=None if start is None else zoned(start),
        )
        deployed = not deployment or any(
            each.name == deployment for each in client.deployments.list()
        )
    if json:
        print_json(price)
        return
    name = price.deployment or "the platform"
    terminal().print(f"{name} costs {told(price)} {currency_of(price)} per {unit_of(price)}")
    if not deployed:
        terminal(error=True).print(f"there is no deployment '{deployment}' yet: is the name right?")


def _tenant_id(client: Client, given: str) -> str:
    """The id of the tenant that is called so; an id, and nobody, as they are."""
    return given if not given or given.startswith("tnt_") else client.tenants.get(given).id


def list_all(*, json: Json = False) -> None:
    """List the prices, newest first."""
    with Client() as client:
        prices = client.prices.list()
    if json:
        print_json(prices)
        return
    rows = [
        (
            p.deployment or "-",
            p.unit or "-",
            told(p),
            currency_of(p),
            p.effective_from,
            *([p.customer] if any(each.customer for each in prices) else []),
        )
        for p in prices
    ]
    headings = ["DEPLOYMENT", "PER", "PRICE", "CURRENCY", "FROM"]
    if any(each.customer for each in prices):
        headings.append("FOR")
    listing(headings, rows, "no prices: 'modelyard prices set'")


def currency_of(price: Price) -> str:
    """The currency of all its amounts."""
    return price.currency if price.price is None else price.price.currency


def unit_of(price: Price) -> str:
    """What the amounts that `told` says are for."""
    if len(price.rates) > 1 and price.unit != "token":
        return "unit"
    return "million tokens (input/cached/output)" if price.unit == "token" else str(price.unit)


def told(price: Price) -> str:
    """The amount; of tokens the three of them, each for a million; of several units, each."""
    if price.rates and (price.unit != "token" or any(_in_tiers(rate) for rate in price.rates)):
        alone = len(price.rates) == 1
        return ", ".join(("" if alone else f"{r.unit} ") + _tiers(r) for r in price.rates)
    if price.price is None:
        return "the general price"
    if price.input is None or price.cached is None:
        return f"{price.price.amount:f}"
    amounts = (price.input, price.cached, price.price)
    return "/".join(f"{each.amount:f}" for each in amounts)


def _in_tiers(rate: Rate) -> bool:
    return len(rate.tiers) > 1 or rate.free > 0


def _tiers(rate: Rate) -> str:
    steps = [
        f"{tier.amount:f}" + ("" if tier.up_to is None else f" up to {tier.up_to}")
        for tier in rate.tiers
    ]
    scheme = " (volume)" if rate.scheme == "volume" and len(steps) > 1 else ""
    free = f" after {rate.free} free" if rate.free else ""
    return " then ".join(steps) + scheme + free


def _body(per: Sequence[str], free: Sequence[str], *, volume: bool) -> Mapping[str, Any]:
    """The price as the server takes it: in short where it can be said so."""
    if len(per) == 1 and not free and not volume and ":" not in per[0]:
        unit, *amounts = parse_price(per[0])
        short = {"unit": unit, "amount": amounts[-1]}
        if unit == "token":
            short["input_amount"] = amounts[0]
        if len(amounts) == 3:
            short["cached_amount"] = amounts[1]
        return short
    rates = [rate for text in per for rate in _rates(text, volume=volume)]
    by_unit = {rate["unit"]: rate for rate in rates}
    for text in free:
        unit, _, number = text.partition("=")
        if unit not in by_unit or not number.isdecimal():
            raise CommandFailed(
                f"--free '{text}' must be UNIT=NUMBER, of a unit that --per names, such as "
                "request=1000"
            )
        by_unit[unit]["free"] = int(number)
    return {"rates": rates}


def _rates(text: str, *, volume: bool) -> list[dict[str, Any]]:
    unit, *amounts = parse_price(text)
    scheme = "volume" if volume else "graduated"
    if unit == "token":
        three = amounts if len(amounts) == 3 else [amounts[0], *amounts]
        units = ("input_token", "cached_token", "output_token")
        return [
            {"unit": each, "tiers": [{"amount": amount}], "scheme": scheme}
            for each, amount in zip(units, three, strict=True)
        ]
    return [{"unit": unit, "tiers": [_tier(text, step) for step in amounts], "scheme": scheme}]


def _tier(text: str, step: str) -> dict[str, Any]:
    amount, colon, up_to = step.partition(":")
    if not amount or (colon and not up_to.isdecimal()):
        raise CommandFailed(
            f"--per '{text}' must have tiers of the form AMOUNT:UPTO, the last one without UPTO, "
            "such as request=0.01:1000,0.005"
        )
    return {"amount": amount, "up_to": int(up_to)} if colon else {"amount": amount}


def parse_price(text: str) -> tuple[str, ...]:
    """The unit and the amount of `request=0.001`, the two or three amounts of tokens, or the
    tiers; they are the server's to judge.

    Raises:
        CommandFailed: not of that form.
    """
    unit, equals, amount = text.partition("=")
    amounts = amount.split("/") if unit == "token" else amount.split(",")
    right = len(amounts) in (2, 3) if unit == "token" else unit in _UNITS
    if not right or not equals or not all(amounts):
        raise CommandFailed(
            f"--per '{text}' must be request=AMOUNT, row=AMOUNT, such as request=0.001, or "
            f"token=INPUT/OUTPUT, each per million; the other units are {', '.join(_UNITS[2:])}"
        )
    return unit, *amounts
