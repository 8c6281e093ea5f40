"""`modelyard quotas`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from modelyard.cli.display import Flag, Json, facts, listing, print_json, terminal
from modelyard.cli.failure import CommandFailed
from modelyard.cli.keys import meant_key
from modelyard_client import Client
from modelyard_client.quotas import Quota


def set_quota(
    quota: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    key: str | None = None,
    deployment: str = "",
    each_caller: Flag = False,
    soft: Flag = False,
    alert: int = 0,
    json: Json = False,
) -> None:
    """Bound what a key, or all keys of the tenant together, may use; or a deployment's callers.

    Args:
        quota: MEASURE=AMOUNT/PERIOD: requests, rows or tokens per minute; concurrency without a
            period; requests, rows, tokens or money per day, month or total. Such as
            requests=600/minute, concurrency=8 or money=25.00/month.
        key: The key, by its id or its name; all of the tenant if not given.
        deployment: A deployment whose callers are bounded, whichever tenant's they are: all
            together, per minute or at once.
        each_caller: Of a deployment: each calling tenant by itself.
        soft: Of a budget: let requests begin as long as anything is left, and hold nothing back.
        alert: Of a budget: the percent at which to alert.
    """
    measure, period, amount = parse_quota(quota)
    with Client() as client:
        made = client.quotas.set(
            measure,
            period,
            amount,
            key_id=None if key is None else meant_key(client, key),
            strict=not soft,
            alert_at=alert,
            deployment=deployment,
            each_caller=each_caller,
        )
    if json:
        print_json(made)
    else:
        terminal().print(f"{made.id}: {_whose(made)} may use {_told(made)}")


def list_all(*, json: Json = False) -> None:
    """List the limits and budgets and what is used of them."""
    with Client() as client:
        quotas = client.quotas.list()
    if json:
        print_json(quotas)
        return
    rows = [(q.id, _whose(q), q.measure, q.period, q.amount, q.used, q.held) for q in quotas]
    headings = ("QUOTA", "OF", "MEASURE", "PER", "AMOUNT", "USED", "HELD")
    listing(headings, rows, "no quotas: 'modelyard quotas set'")


def show(quota: str, /, *, json: Json = False) -> None:
    """Show a quota and what is used of it.

    Args:
        quota: Its id, as 'modelyard quotas list' shows it.
    """
    with Client() as client:
        found = client.quotas.get(quota)
    if json:
        print_json(found)
        return
    pairs = [
        ("quota", found.id),
        ("of", _whose(found)),
        ("amount", _told(found)),
        ("used", found.used),
        ("held", found.held),
        ("kind", "strict" if found.strict else "soft"),
        ("alert at", f"{found.alert_at} %" if found.alert_at else None),
        ("time zone", found.zone),
        ("set by", "the operator" if found.imposed else "the tenant"),
    ]
    terminal().print(facts(pairs))


def remove(quota: str, /) -> None:
    """Put a quota out of force.

    Args:
        quota: Its id, as 'modelyard quotas list' shows it.
    """
    with Client() as client:
        client.quotas.remove(quota)
    terminal().print(f"quota {quota} is removed")


def alerts(*, json: Json = False) -> None:
    """List what was told of budgets, newest first."""
    with Client() as client:
        told = client.quotas.alerts()
    if json:
        print_json(told)
        return
    rows = [(a.at, a.quota_id, a.kind, a.measure, a.period, a.spent, a.amount) for a in told]
    headings = ("AT", "QUOTA", "KIND", "MEASURE", "PER", "SPENT", "OF")
    listing(headings, rows, "no alerts")


def parse_quota(text: str) -> tuple[str, str, str]:
    """Measure, period and amount of `requests=600/minute`; the server judges them.

    Raises:
        CommandFailed: not of that form.
    """
    measure, equals, rest = text.partition("=")
    amount, slash, period = rest.partition("/")
    if not slash and measure == "concurrency":
        period = "moment"
    if not (equals and measure and amount and period):
        raise CommandFailed(
            f"'{text}' must be MEASURE=AMOUNT/PERIOD, such as requests=600/minute, "
            "concurrency=8 or money=25.00/month"
        )
    return measure, period, amount


def _whose(quota: Quota) -> str:
    if quota.deployment:
        return f"{'each caller' if quota.each_caller else 'all callers'} of {quota.deployment}"
    return quota.key_id or "all keys"


def _told(quota: Quota) -> str:
    span = {"moment": "at once", "total": "in all"}.get(quota.period, f"per {quota.period}")
    unit = "requests" if quota.measure == "concurrency" else quota.measure
    return f"{quota.amount:f} {unit} {span}"
