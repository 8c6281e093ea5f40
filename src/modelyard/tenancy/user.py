"""People: who logs in with a password, and what they are in which tenant."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

import msgspec

from modelyard.core.access import Role
from modelyard.core.errors import Invalid

MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 256
"""Characters. Length is what counts (NIST SP 800-63B, section 5.1.1); nothing else is asked."""
INVITED: Final = timedelta(days=3)
"""How long an invitation is good."""
SESSION: Final = timedelta(hours=12)
"""How long a login lasts."""
ENDED: Final = timedelta(days=7)
"""How long it is kept after its end."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._%+@-]{0,98}[a-z0-9]")


class User(msgspec.Struct, frozen=True):
    """A person. `password` is its argon2id hash, None until one is set; `invitation` the keyed hash
    of the one-time token that sets it. An operator may do everything, in every tenant.
    """

    id: str
    name: str
    operator: bool
    created_at: datetime
    password: str | None = None
    invitation: bytes | None = None
    invited_until: datetime | None = None


class Member(msgspec.Struct, frozen=True):
    """What a person is in a tenant."""

    tenant_id: str
    user_id: str
    name: str
    role: Role
    created_at: datetime


class Failures(msgspec.Struct, frozen=True):
    """Logins that have failed in a row, for one account or one address."""

    count: int
    last_at: datetime


def check_user_name(name: str) -> str:
    """The name, if it can be one: an e-mail address, for example. Raises Invalid."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"user name {name[:60]!r} must be 2 to 100 of a-z, 0-9 and ._%+@-, such as an e-mail "
            "address in lower case"
        )
    return name


def check_password(password: str) -> str:
    """The password, if it is long enough. Raises Invalid, which does not say it."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Invalid(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    if len(set(password)) < 5:
        raise Invalid("a password has at least 5 different characters")
    return password
