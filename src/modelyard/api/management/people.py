"""`/api/v1/users`, `/members`, `/passwords`, `/sessions` and `/me`: people, and who is asking."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Response, Router, delete, get, post, put
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.authentication import COOKIE
from modelyard.api.management.admission import LANE, Lane
from modelyard.api.management.authorization import needs, visitors
from modelyard.api.management.dependencies import Caller, Paging, Services, Visiting
from modelyard.api.management.fields import Name
from modelyard.api.management.idempotency import SHOWN_ONCE
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.problems import refusals
from modelyard.core.access import Permission, Role
from modelyard.core.errors import Conflict
from modelyard.core.pages import Page
from modelyard.tenancy import user as entity
from modelyard.tenancy.user import MAX_PASSWORD, MIN_PASSWORD

UserName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="An e-mail address, for example.",
        examples=["ada@example.com"],
    ),
]
Password = Annotated[str, Meta(min_length=1, max_length=MAX_PASSWORD)]
NewPassword = Annotated[
    str,
    Meta(
        min_length=MIN_PASSWORD,
        max_length=MAX_PASSWORD,
        examples=["four words that nobody guesses"],
    ),
]
Token = Annotated[str, Meta(min_length=1, max_length=512, description="The one-time token.")]


class NewUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account to make."""

    name: UserName
    operator: Annotated[bool, Meta(description="May do everything, in every tenant.")] = False


class User(msgspec.Struct, frozen=True):
    """A person. Until `active`, no password has been set."""

    name: str
    operator: bool
    active: bool
    created_at: datetime


class Invited(msgspec.Struct, frozen=True):
    """`invitation` is the one-time token with which the person sets a password; nobody can show
    it again. Empty where there is an account already.
    """

    name: str
    invitation: str


class Membership(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person is to be in the tenant."""

    role: Annotated[Role, Meta(examples=["consumer"])]


class Member(msgspec.Struct, frozen=True):
    """What a person is in the tenant."""

    name: str
    role: Role
    created_at: datetime


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who logs in, and to which tenant, where there are several."""

    name: UserName
    password: Password
    tenant: Annotated[str, Meta(max_length=200)] = ""


class Session(msgspec.Struct, frozen=True):
    """A login. `token` is sent as a key is; browsers have it in a cookie."""

    token: str
    name: str
    scope: str
    expires_at: datetime | None


class PasswordToSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A password, and the invitation that lets one set it."""

    invitation: Token
    password: NewPassword


class PasswordChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new password in the place of the current one."""

    current: Password
    password: NewPassword


class Me(msgspec.Struct, frozen=True):
    """Who is asking. `user` is set for a person who has logged in."""

    key_id: str
    tenant: str
    scope: str
    permissions: tuple[Permission, ...]
    user: str | None


def shown_once(body: bytes) -> Conflict:
    """What a repeated request is told instead of the token."""
    name = msgspec.json.decode(body, type=Invited).name
    return Conflict(f"this request has invited '{name}' before; invite again by a new request")


@get("/", summary="List users", responses=refusals(), sync_to_thread=True)
def list_users(services: Services, page: Paging) -> Page[User]:
    """All accounts, oldest first; for the operator."""
    return services.people.users(page).map(_shown)


@post(
    "/",
    summary="Make an account",
    responses=refusals(409, 413, 415, 422),
    operation_class=Idempotent,
    opt={SHOWN_ONCE: shown_once},
    sync_to_thread=True,
)
def create_user(services: Services, data: JSONBody[NewUser]) -> Invited:
    """Without a password: the answer holds a token, this once, with which one is set."""
    user, token = services.people.create(data.name, operator=data.operator)
    return Invited(user.name, token)


@post(
    "/{name:str}/invite",
    status_code=200,
    summary="Invite again",
    responses=refusals(404, 409, 422),
    operation_class=Idempotent,
    opt={SHOWN_ONCE: shown_once},
    sync_to_thread=True,
)
def invite_user(services: Services, name: Name) -> Invited:
    """A new token, for one who has lost it or the password. The password stays until it is used."""
    return Invited(name, services.people.invite_again(name))


@delete("/{name:str}", summary="Delete a user", responses=refusals(404), sync_to_thread=True)
def delete_user(services: Services, name: Name) -> None:
    """With all memberships; logins end within a second."""
    services.people.delete(name)


@get("/", summary="List members", responses=refusals(), sync_to_thread=True)
def list_members(services: Services, caller: Caller, page: Paging) -> Page[Member]:
    """By name."""
    return services.people.members(caller.tenant_id, page).map(
        lambda member: Member(member.name, member.role, member.created_at)
    )


@put("/{name:str}", summary="Add a member", responses=refusals(404, 413, 415), sync_to_thread=True)
def put_member(
    services: Services, caller: Caller, name: Name, data: JSONBody[Membership]
) -> Invited:
    """Or change a member's role, which ends their logins. Who has no account yet gets one, and the
    answer a token, this once, with which its password is set.

    Nobody gives or takes a role that holds more than they may do themselves.
    """
    member, token = services.people.put_member(caller, name, data.role)
    return Invited(member.name, token or "")


@delete("/{name:str}", summary="Remove a member", responses=refusals(404), sync_to_thread=True)
def remove_member(services: Services, caller: Caller, name: Name) -> None:
    """Their logins to this tenant end within a second; the account stays."""
    services.people.remove_member(caller, name)


@post(
    "/",
    status_code=204,
    summary="Set a password",
    responses=refusals(413, 415),
    opt={LANE: Lane.LOGINS},
    sync_to_thread=True,
)
def set_password(services: Services, data: JSONBody[PasswordToSet]) -> None:
    """By the one-time token of an invitation. Needs no key."""
    services.people.set_password(data.invitation, data.password)


@post(
    "/",
    summary="Log in",
    responses=refusals(413, 415),
    opt={LANE: Lane.LOGINS, **visitors()},
    sync_to_thread=True,
)
def log_in(services: Services, visitor: Visiting, data: JSONBody[Login]) -> Response[Session]:
    """Needs no key. Every gateway knows the login within a second; it lasts 12 hours."""
    key, token = services.people.login(
        data.name, data.password, data.tenant or None, visitor.address
    )
    cookie = f"{COOKIE.decode()}={token}; Path=/; Secure; HttpOnly; SameSite=Strict"
    return Response(
        Session(token, key.name, key.scope, key.expires_at),
        status_code=201,
        headers={"set-cookie": cookie},
    )


@delete(
    "/current",
    status_code=204,
    summary="Log out",
    responses=refusals(),
    opt=needs(None),
    sync_to_thread=True,
)
def log_out(services: Services, caller: Caller) -> Response[None]:
    """The login that the request came with ends within a second."""
    services.people.logout(caller)
    cookie = f"{COOKIE.decode()}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"
    return Response(None, status_code=204, headers={"set-cookie": cookie})


@get("/", summary="Who am I", responses=refusals(), sync_to_thread=True)
def show_me(services: Services, caller: Caller) -> Me:
    """What the key or the login that asks stands for."""
    return Me(
        caller.key_id,
        services.tenancy.name_of(caller.tenant_id),
        caller.scope,
        tuple(sorted(caller.permissions)),
        services.people.user_name(caller),
    )


@put(
    "/password",
    status_code=204,
    summary="Change your password",
    responses=refusals(413, 415),
    opt={LANE: Lane.LOGINS},
    sync_to_thread=True,
)
def change_password(services: Services, caller: Caller, data: JSONBody[PasswordChange]) -> None:
    """All your logins end, the one that asks too."""
    services.people.change_password(caller, data.current, data.password)


def _shown(user: entity.User) -> User:
    return User(user.name, user.operator, user.password is not None, user.created_at)


users: Final = Router(
    "/users",
    route_handlers=[list_users, create_user, invite_user, delete_user],
    tags=["people"],
    opt=needs(Permission.OPERATE),
)
members: Final = Router(
    "/members",
    route_handlers=[list_members, put_member, remove_member],
    tags=["people"],
    opt=needs(Permission.MEMBERS_READ, Permission.MEMBERS_WRITE),
)
passwords: Final = Router(
    "/passwords", route_handlers=[set_password], tags=["people"], opt=visitors()
)
sessions: Final = Router("/sessions", route_handlers=[log_in, log_out], tags=["people"])
me: Final = Router(
    "/me", route_handlers=[show_me, change_password], tags=["people"], opt=needs(None)
)
