"""`modelyard catalogue`."""

from __future__ import annotations

import json as stdlib_json
from pathlib import Path
from typing import Any

from modelyard.cli.display import Flag, Json, Many, facts, listing, print_json, terminal
from modelyard.cli.failure import CommandFailed
from modelyard_client import Client
from modelyard_client.catalogue import Offer


def publish(
    deployment: str,
    /,
    *,
    terms: str = "",
    description: str = "",
    example: Many = None,
    to: Many = None,
    json: Json = False,
) -> None:
    """Offer a deployment to other tenants, or change the offer.

    Args:
        deployment: Its name.
        terms: What a subscriber agrees to; '@FILE' takes it from a file.
        description: What it is for; '@FILE' takes it from a file.
        example: A request's body as JSON; once for each example.
        to: A tenant to offer it to; once for each. Without it, all tenants.
    """
    examples = [_example(text) for text in example or ()]
    with Client() as client:
        offered = client.catalogue.publish(
            deployment,
            terms=_text(terms),
            description=_text(description),
            examples=examples,
            shared_with=to,
        )
    if json:
        print_json(offered)
    else:
        whom = ", ".join(offered.shared_with) or "all tenants"
        terminal().print(f"deployment {offered.deployment} is offered to {whom}")


def withdraw(deployment: str, /) -> None:
    """Offer a deployment no more; its subscribers lose it.

    Args:
        deployment: Its name.
    """
    with Client() as client:
        client.catalogue.withdraw(deployment)
    terminal().print(f"deployment {deployment} is offered no more")


def list_all(*, mine: Flag = False, json: Json = False) -> None:
    """List what other tenants offer.

    Args:
        mine: What you offer yourself, instead.
    """
    with Client() as client:
        if mine:
            _list_published(client, json=json)
            return
        offers = client.catalogue.offers()
    if json:
        print_json(offers)
        return
    rows = [(_path(o), "all" if o.public else "you", o.description) for o in offers]
    listing(("OFFER", "TO", "DESCRIPTION"), rows, "nothing is offered")


def show(offer: str, /, *, json: Json = False) -> None:
    """Show an offer with its price and terms, and how it is called.

    Args:
        offer: PUBLISHER/DEPLOYMENT, as the list has it.
    """
    publisher, deployment = _parts(offer)
    with Client() as client:
        found = client.catalogue.offer(publisher, deployment)
    if json:
        print_json(found)
        return
    out = terminal()
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in found.metrics.items())
    out.print(
        facts(
            [
                ("offer", _path(found)),
                ("description", found.description),
                ("task", found.task),
                ("algorithm", found.algorithm),
                ("metrics", metrics),
                ("inputs", ", ".join(str(spec["name"]) for spec in found.inputs)),
                ("outputs", ", ".join(str(spec["name"]) for spec in found.outputs)),
                ("price", "nothing" if found.price is None else found.price.terms),
                *(
                    (f"from {price.effective_from:%Y-%m-%d %H:%M} UTC", price.terms)
                    for price in found.later_prices
                ),
            ]
        )
    )
    for call in found.calls:
        line = f"{call.protocol}: {call.method} {call.path} {stdlib_json.dumps(call.body)}"
        out.print(line, soft_wrap=True)
    for example in found.examples:
        out.print("example", stdlib_json.dumps(example))
    if found.terms:
        out.print(f"terms\n{found.terms}")


def subscribe(
    offer: str,
    /,
    *,
    name: str | None = None,
    accept_terms: Flag = False,
    json: Json = False,
) -> None:
    """Take an offer: from then on it is called like a deployment of your own, on your bill.

    Args:
        offer: PUBLISHER/DEPLOYMENT, as the list has it.
        name: What to call it by; the deployment's own name if not given.
        accept_terms: Agree to its terms as 'catalogue show' prints them.
    """
    publisher, deployment = _parts(offer)
    with Client() as client:
        found = client.catalogue.offer(publisher, deployment)
        if found.terms and not accept_terms:
            raise CommandFailed(
                f"{offer} has terms: read them by 'modelyard catalogue show {offer}' and agree "
                "with --accept-terms"
            )
        taken = client.catalogue.subscribe(publisher, deployment, terms=found.terms, name=name)
    if json:
        print_json(taken)
    else:
        terminal().print(f"{offer} is called by '{taken.name}'")


def unsubscribe(name: str, /) -> None:
    """Give up what you have taken.

    Args:
        name: What you call it by.
    """
    with Client() as client:
        client.catalogue.unsubscribe(name)
    terminal().print(f"{name} is given up")


def subscriptions(*, json: Json = False) -> None:
    """List what you have taken."""
    with Client() as client:
        taken = client.catalogue.subscriptions()
    if json:
        print_json(taken)
        return
    rows = [
        (s.name, f"{s.publisher}/{s.deployment}", "yes" if s.offered else "no", s.created_at)
        for s in taken
    ]
    listing(("NAME", "OFFER", "OFFERED", "SINCE"), rows, "no subscriptions")


def _list_published(client: Client, *, json: bool) -> None:
    published = client.catalogue.published()
    if json:
        print_json(published)
        return
    rows = [(p.deployment, ", ".join(p.shared_with) or "all", p.description) for p in published]
    listing(("DEPLOYMENT", "TO", "DESCRIPTION"), rows, "you offer nothing")


def _path(offer: Offer) -> str:
    return f"{offer.publisher}/{offer.deployment}"


def _parts(offer: str) -> tuple[str, str]:
    publisher, slash, deployment = offer.partition("/")
    if not (publisher and slash and deployment):
        raise CommandFailed(f"{offer!r} is not PUBLISHER/DEPLOYMENT, such as acme/churn")
    return publisher, deployment


def _text(given: str) -> str:
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{given[1:]} cannot be read: {error}") from None


def _example(text: str) -> Any:
    try:
        return stdlib_json.loads(_text(text))
    except ValueError as error:
        raise CommandFailed(f"the example {text[:60]!r} is not JSON: {error}") from None
