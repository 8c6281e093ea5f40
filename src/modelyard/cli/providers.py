"""`modelyard providers`."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Annotated

from cyclopts import Parameter

from modelyard.cli.display import Flag, Json, facts, listing, print_json, terminal
from modelyard.cli.failure import CommandFailed
from modelyard_client import Client, Timeouts
from modelyard_client.providers import Provider

MAX_KEY = 4096


def add(
    name: str,
    url: str,
    /,
    *,
    key_env: str | None = None,
    no_key: Flag = False,
    keep_key: Flag = False,
    forward: Annotated[tuple[str, ...], Parameter(name="--forward-header", negative="")] = (),
    connect_seconds: float = Timeouts().connect_seconds,
    first_byte_seconds: float = Timeouts().first_byte_seconds,
    between_seconds: float = Timeouts().between_seconds,
    json: Json = False,
) -> None:
    """Add a provider, or change one. Its key is read from a prompt, or else from standard input.

    Args:
        name: What it is called here.
        url: Its OpenAI API, such as https://api.openai.com/v1.
        key_env: The name of an environment variable that holds the key, instead.
        no_key: It wants no key.
        keep_key: It has its key already, and keeps it.
        forward: A request header that is passed on to it; may be given again.
        connect_seconds: Time until it is connected.
        first_byte_seconds: Time from then until its answer begins.
        between_seconds: Time between two parts of its answer.
    """
    if (key_env is not None) + no_key + keep_key > 1:
        raise CommandFailed("--key-env, --no-key and --keep-key exclude each other")
    key = "" if no_key else None if keep_key else read_key(name, key_env)
    timeouts = Timeouts(connect_seconds, first_byte_seconds, between_seconds)
    with Client() as client:
        provider = client.providers.put(
            name, url, api_key=key, forward_headers=forward, timeouts=timeouts
        )
    if json:
        print_json(provider)
        return
    sealed = "its key is sealed" if provider.has_key else "it has no key"
    terminal().print(f"provider {provider.name} at {provider.base_url}: {sealed}")


def list_all(*, json: Json = False) -> None:
    """List the providers by name."""
    with Client() as client:
        providers = client.providers.list()
    if json:
        print_json(providers)
        return
    rows = [(p.name, p.base_url, _key(p), p.updated_at) for p in providers]
    listing(
        ("PROVIDER", "ADDRESS", "KEY", "CHANGED"), rows, "no providers: 'modelyard providers add'"
    )


def show(name: str, /, *, json: Json = False) -> None:
    """Show one provider; its key is shown to nobody.

    Args:
        name: The provider.
    """
    with Client() as client:
        provider = client.providers.get(name)
    if json:
        print_json(provider)
        return
    timeouts = provider.timeouts
    shown = [
        ("provider", provider.name),
        ("address", provider.base_url),
        ("key", _key(provider)),
        ("passed on", ", ".join(provider.forward_headers)),
        ("connect", f"{timeouts.connect_seconds:g} s"),
        ("first byte", f"{timeouts.first_byte_seconds:g} s"),
        ("between parts", f"{timeouts.between_seconds:g} s"),
        ("changed", provider.updated_at),
    ]
    terminal().print(facts(shown))


def probe(name: str, /, *, json: Json = False) -> None:
    """Have the server ask a provider for its models, with its key.

    Args:
        name: The provider.
    """
    with Client() as client:
        found = client.providers.test(name)
    if json:
        print_json(found)
    elif not found.reason:
        models = ", ".join(found.models) or "none"
        terminal().print(f"provider {name} answers in {found.milliseconds:g} ms; models: {models}")
    if found.reason:
        raise CommandFailed(f"provider {name}: {found.reason}")


def remove(name: str, /, *, json: Json = False) -> None:
    """Forget a provider and its key; models go on with the others that they stand for.

    Args:
        name: The provider.
    """
    with Client() as client:
        client.providers.delete(name)
    if json:
        print_json({"removed": name})
    else:
        terminal().print(f"provider {name} is removed")


def read_key(name: str, variable: str | None) -> str:
    """The key: from the environment, a prompt, or standard input. Never from the command's words,
    which every process of the host can read. Raises CommandFailed when there is none.
    """
    if variable is not None:
        key = os.environ.get(variable, "").strip()
        where = f"the environment variable {variable}"
    elif sys.stdin.isatty():
        key, where = getpass.getpass(f"Key of {name}: ").strip(), "the prompt"
    else:
        key, where = sys.stdin.read(MAX_KEY + 2).strip(), "standard input"
    if not key:
        raise CommandFailed(f"there is no key in {where}; for a provider without one, --no-key")
    return key


def _key(provider: Provider) -> str:
    return "sealed" if provider.has_key else "-"
