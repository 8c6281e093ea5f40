"""The table of commands, and the one place where a failure becomes a line and an exit code.

Commands are named by import path: `--help` imports none of them, and a command imports only what
it needs itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from cyclopts import App, CycloptsError, Group, UnusedCliTokensError

import modelyard
from modelyard.cli.failure import CommandFailed

Commands = Mapping[str, tuple[str, str]]

OPERATE: Final = "Operate"
PUBLISH: Final = "Publish"
USE: Final = "Use and account"

_ALONE: Final[Mapping[str, tuple[str, str, str]]] = {
    "up": (OPERATE, "up:up", "Run a server until it is stopped."),
    "demo": (OPERATE, "demo:demo", "Train, deploy, call and bill a model on real data."),
    "doctor": (OPERATE, "doctor:doctor", "Check what a server needs of this machine."),
    "config": (OPERATE, "config:config", "Show each setting, its value and where it came from."),
    "train": (PUBLISH, "train:train", "Train a version of a model from a dataset."),
    "deploy": (PUBLISH, "deployments:deploy", "Serve a version of a model under a name."),
    "predict": (USE, "predict:predict", "Call a deployed model with the rows of a file."),
    "login": (USE, "people:login", "Log in with a password."),
    "logout": (USE, "people:logout", "Log out."),
    "whoami": (USE, "people:whoami", "Show what your key or your login stands for."),
    "password": (USE, "people:password", "Set or change your password."),
    "chat": (USE, "chat:chat", "Talk to a language model from the terminal."),
    "usage": (USE, "usage:commands", "Show what was used and what it costs, or export it."),
}

_NOUNS: Final[Mapping[str, tuple[str, str, Commands]]] = {
    "datasets": (
        PUBLISH,
        "Named, versioned tables to train on.",
        {
            "add": ("datasets:add", "Upload a table, tagged tokens or pictures."),
            "list": ("datasets:list_all", "List the datasets."),
            "show": ("datasets:show", "Show a dataset's columns and first rows."),
            "profile": ("datasets:profile", "Show how a dataset's columns are distributed."),
        },
    ),
    "jobs": (
        PUBLISH,
        "Work that the server does in its own time.",
        {
            "list": ("jobs:list_all", "List the newest jobs."),
            "show": ("jobs:show", "Show one job."),
            "watch": ("jobs:watch", "Watch a job until it ends."),
            "logs": ("jobs:logs", "Print a job's story, as it comes if need be."),
            "cancel": ("jobs:cancel", "Stop a job."),
        },
    ),
    "models": (
        PUBLISH,
        "Models, their versions and aliases.",
        {
            "list": ("models:list_all", "List the models."),
            "show": ("models:show", "Show a model's versions, and the card of one."),
            "card": ("model_cards:card", "Read a version's model card, or write it to a folder."),
            "plots": ("model_cards:plots", "Write a version's plots as SVG files."),
            "use": ("model_cards:use", "Say what a model is for, on its cards."),
            "check": ("check:check", "Try a model as an import would, without a server."),
            "import": (
                "models:import_model",
                "Register a model's file or folder as a new version.",
            ),
            "link": ("links:link", "Have a model stand for models of providers."),
            "alias": ("models:alias", "Point an alias such as 'champion' at a version."),
        },
    ),
    "providers": (
        PUBLISH,
        "Others' OpenAI APIs, which models may stand for.",
        {
            "add": ("providers:add", "Add a provider, or change one; its key is kept sealed."),
            "list": ("providers:list_all", "List the providers."),
            "show": ("providers:show", "Show one provider."),
            "test": ("providers:probe", "Have the server ask a provider for its models."),
            "remove": ("providers:remove", "Forget a provider and its key."),
        },
    ),
    "deployments": (
        PUBLISH,
        "Names on the data plane that stand for a model's version.",
        {
            "list": ("deployments:list_all", "List the deployments."),
            "show": ("deployments:show", "Show one deployment."),
            "delete": ("deployments:delete", "Take a deployment off the data plane."),
        },
    ),
    "catalogue": (
        USE,
        "Deployments that tenants offer each other.",
        {
            "list": ("catalogue:list_all", "List what other tenants offer."),
            "show": ("catalogue:show", "Show an offer with its terms."),
            "subscribe": ("catalogue:subscribe", "Take an offer, on your own keys and bill."),
            "unsubscribe": ("catalogue:unsubscribe", "Give up what you have taken."),
            "subscriptions": ("catalogue:subscriptions", "List what you have taken."),
            "publish": ("catalogue:publish", "Offer a deployment to other tenants."),
            "withdraw": ("catalogue:withdraw", "Offer a deployment no more."),
        },
    ),
    "tenants": (
        OPERATE,
        "Who owns models, holds keys and pays bills.",
        {
            "create": ("tenants:create", "Open a tenant."),
            "list": ("tenants:list_all", "List the tenants."),
            "show": ("tenants:show", "Show a tenant."),
        },
    ),
    "users": (
        OPERATE,
        "People who log in with a password.",
        {
            "create": ("people:create_user", "Make an account and an invitation."),
            "list": ("people:list_users", "List the accounts."),
            "invite": ("people:invite_user", "Make a new invitation."),
            "delete": ("people:delete_user", "End an account."),
        },
    ),
    "members": (
        USE,
        "What people are in the tenant.",
        {
            "list": ("people:list_members", "List the members."),
            "add": ("people:add_member", "Add a person, or change a role."),
            "remove": ("people:remove_member", "Take a person out."),
        },
    ),
    "keys": (
        USE,
        "API keys.",
        {
            "create": ("keys:create", "Make a key; it is shown this once."),
            "list": ("keys:list_all", "List the keys."),
            "rotate": ("keys:rotate", "Give a key a new secret, the old one ending later."),
            "revoke": ("keys:revoke", "Put a key out of force."),
        },
    ),
    "invoices": (
        USE,
        "What a tenant owes for its months.",
        {
            "draft": ("invoices:draft", "Draw up the next invoice."),
            "list": ("invoices:list_all", "List the invoices, newest first."),
            "show": ("invoices:show", "Show an invoice with its lines."),
            "finalise": ("invoices:finalise", "Give a draft its number, for good."),
            "pay": ("invoices:pay", "Note that an invoice was paid."),
            "void": ("invoices:void", "Put an invoice out of force."),
            "download": ("invoices:download", "Write an invoice to a file."),
            "profile": ("invoices:profile", "Show or change whom invoices go to."),
            "statement": ("invoices:statement", "Show what your deployments have earned."),
        },
    ),
    "credits": (
        USE,
        "Money that a tenant has paid ahead, or was given back.",
        {
            "list": ("credits:list_all", "Show the balance and its changes."),
            "add": ("credits:add", "Top up by what was paid ahead."),
            "note": ("credits:note", "Give a credit note."),
        },
    ),
    "quotas": (
        USE,
        "Limits and budgets of keys and tenants.",
        {
            "set": ("quotas:set_quota", "Bound what a key or the tenant may use."),
            "list": ("quotas:list_all", "List limits and budgets, and what is used of them."),
            "show": ("quotas:show", "Show one of them."),
            "remove": ("quotas:remove", "Put one out of force."),
            "alerts": ("quotas:alerts", "List the alerts of budgets, newest first."),
        },
    ),
    "prices": (
        USE,
        "What a deployment costs per request, row, token or second.",
        {
            "set": ("prices:set_price", "Set a deployment's price from now on."),
            "list": ("prices:list_all", "List the prices, newest first."),
        },
    ),
}


def build() -> App:
    """The whole command line."""
    app = App(
        name="modelyard",
        help=(
            "Train, serve, meter and bill AI models on your own machines.\n\n"
            "With '--tenant NAME' a command is about another tenant; for the operator."
        ),
        version=modelyard.__version__,
        help_flags=["--help", "-h"],
        # Our help is plain sentences; markdown would be one more library to load for them.
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    groups = {
        title: Group(title, sort_key=place) for place, title in enumerate((OPERATE, PUBLISH, USE))
    }
    for name, (group, path, text) in _ALONE.items():
        app.command(f"modelyard.cli.{path}", name=name, help=text, group=groups[group])
    for noun, (group, text, commands) in _NOUNS.items():
        sub = App(name=noun, help=text, group=groups[group], version_flags=[])
        for verb, (path, about) in commands.items():
            sub.command(f"modelyard.cli.{path}", name=verb, help=about)
        app.command(sub)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 1 for a failure, 2 for a usage error."""
    try:
        tokens = _acting(list(sys.argv[1:] if arguments is None else arguments))
        code = build()(tokens, print_error=False, exit_on_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        return _misused(error)
    except CommandFailed as error:
        return _complain(error.message, error.hint)
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does. Python would complain once more when
        # it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as stop:
        return _complain(": ".join(("interrupted", *map(str, stop.args))), code=130)
    except _expected() as error:
        message, hint = _explain(error)
        return _complain(message, hint)
    except OSError as error:
        # A file that a command was to write, for the most part.
        if error.filename is None:
            raise
        return _complain(f"cannot use {error.filename}: {error.strerror}")
    return code if isinstance(code, int) else 0


def _acting(tokens: list[str]) -> list[str]:
    """Take `--tenant NAME` out, wherever it stands; every command's client reads it where it finds
    the server's address. A login has such an option of its own.
    """
    if tokens[:1] == ["login"]:
        return tokens
    for place, token in enumerate(tokens):
        option, equals, name = token.partition("=")
        if option == "--tenant":
            rest = tokens[place + 1 :]
            if not equals:
                name, rest = (rest[0], rest[1:]) if rest else ("", rest)
            if not name or name.startswith("-"):
                raise CommandFailed("--tenant takes the name of a tenant")
            os.environ["MODELYARD_TENANT"] = name
            return [*tokens[:place], *rest]
    return tokens


def _expected() -> tuple[type[Exception], ...]:
    """The failures of the client and of the settings; looked up only when something failed."""
    from modelyard.core.errors import ModelyardError
    from modelyard_client import ClientError

    return ClientError, ModelyardError


def _explain(error: Exception) -> tuple[str, str]:
    from modelyard_client import ApiError, ClientError

    if isinstance(error, ApiError):
        hint = ""
        if error.status == 401:
            hint = "set MODELYARD_API_KEY, or MODELYARD_HOME to the home of a local server"
        elif error.status == 403:
            hint = "use a key of a wider scope, such as 'manage'"
        return error.detail, hint
    return str(error), error.hint if isinstance(error, ClientError) else ""


def _complain(message: str, hint: str = "", code: int = 1) -> int:
    line = f"modelyard: {message}" + (f" ({hint})" if hint else "")
    print(" ".join(line.split()), file=sys.stderr)  # noqa: T201
    return code


def _misused(error: CycloptsError) -> int:
    command = " ".join(("modelyard", *(error.command_chain or ())))
    said = str(error)
    if isinstance(error, UnusedCliTokensError):
        more = " ".join(error.unused_tokens or ())
        said = f"'{command}' takes fewer arguments: '{more}' is too many"
    return _complain(said, f"see '{command} --help'", code=2)
