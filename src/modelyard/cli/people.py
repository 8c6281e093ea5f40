"""`modelyard login`, `logout`, `whoami`, `password`, `users` and `members`."""

from __future__ import annotations

import sys
from getpass import getpass
from typing import Literal

from modelyard.cli.display import Flag, Json, facts, listing, print_json, terminal, text
from modelyard.cli.failure import CommandFailed
from modelyard_client import ApiError, Client
from modelyard_client.location import keep_session
from modelyard_client.people import Invited

_Role = Literal["owner", "publisher", "consumer", "accountant", "auditor"]


def login(name: str, /, *, tenant: str = "", json: Json = False) -> None:
    """Log in. The password is asked for, or read from standard input where that is no terminal.

    Args:
        name: Your user name.
        tenant: Which tenant, if you are a member of several.
    """
    password = _secret("password")
    with Client() as client:
        try:
            session = client.sessions.login(name, password, tenant)
        except ApiError as error:
            # It is about no key, as other refusals of this kind are.
            raise CommandFailed(error.detail) from None
        keep_session(client.url, session.token)
    if json:
        print_json({"name": session.name, "expires_at": session.expires_at})
    else:
        terminal().print(f"{session.name} is logged in until {text(session.expires_at)}")


def logout() -> None:
    """Log out."""
    with Client() as client:
        client.sessions.logout()
    keep_session("", None)
    terminal().print("logged out")


def whoami(*, json: Json = False) -> None:
    """Show what your key or your login stands for."""
    with Client() as client:
        me = client.sessions.me()
    if json:
        print_json(me)
        return
    terminal().print(
        facts([("user", me.user), ("tenant", me.tenant), ("key", me.key_id), ("scope", me.scope)])
    )


def password(*, invited: Flag = False) -> None:
    """Change your password, or set one by an invitation. All your logins end.

    What is asked for can come on standard input, a line each.

    Args:
        invited: Set it by an invitation, which is asked for, in the place of the old password.
    """
    current = _secret("invitation" if invited else "old password")
    new = _secret("new password")
    with Client() as client:
        if invited:
            client.sessions.set_password(current, new)
        else:
            client.sessions.change_password(current, new)
    terminal().print("the password is set: log in with it")


def create_user(name: str, /, *, operator: Flag = False, json: Json = False) -> None:
    """Make an account, and an invitation by which its password is set.

    Args:
        name: An e-mail address, for example.
        operator: May do everything, in every tenant.
    """
    with Client() as client:
        _tell(client.users.create(name, operator=operator), json=json)


def invite_user(name: str, /, *, json: Json = False) -> None:
    """Make a new invitation for somebody who has lost it or the password.

    Args:
        name: The user.
    """
    with Client() as client:
        _tell(client.users.invite(name), json=json)


def list_users(*, json: Json = False) -> None:
    """List the accounts."""
    with Client() as client:
        users = client.users.list()
    if json:
        print_json(users)
        return
    rows = [
        (u.name, "yes" if u.operator else "no", "yes" if u.active else "invited", u.created_at)
        for u in users
    ]
    listing(("USER", "OPERATOR", "ACTIVE", "CREATED"), rows, "no users")


def delete_user(name: str, /) -> None:
    """End an account, its memberships and logins.

    Args:
        name: The user.
    """
    with Client() as client:
        client.users.delete(name)
    terminal().print(f"user {name} is deleted")


def list_members(*, json: Json = False) -> None:
    """List the tenant's members."""
    with Client() as client:
        members = client.members.list()
    if json:
        print_json(members)
        return
    rows = [(m.name, m.role, m.created_at) for m in members]
    listing(("MEMBER", "ROLE", "SINCE"), rows, "no members")


def add_member(name: str, /, *, role: _Role, json: Json = False) -> None:
    """Add a person to the tenant, or change a member's role.

    Args:
        name: The user; who has no account yet gets one, and an invitation.
        role: What they are.
    """
    with Client() as client:
        _tell(client.members.put(name, role), json=json)


def remove_member(name: str, /) -> None:
    """Take a person out of the tenant.

    Args:
        name: The member.
    """
    with Client() as client:
        client.members.remove(name)
    terminal().print(f"{name} is no member any more")


def _tell(invited: Invited, *, json: bool) -> None:
    if json:
        print_json(invited)
    elif invited.invitation:
        terminal().print(invited.invitation)
        terminal(error=True).print(
            f"{invited.name} sets a password with this invitation: modelyard password --invited"
        )
    else:
        terminal().print(f"{invited.name} is a member")


def _secret(what: str) -> str:
    if sys.stdin.isatty():
        return getpass(f"{what}: ")
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise CommandFailed(f"standard input has no line for the {what}")
    return line
