import pytest

from modelyard.core.access import (
    MAX_SCOPE,
    SCOPES,
    Grant,
    Permission,
    Role,
    Scope,
    covers,
    permissions_of,
    require,
)
from modelyard.core.errors import Forbidden, Invalid


def test_a_named_scope_holds_the_ones_before_it() -> None:
    infer, manage, admin = (permissions_of(scope) for scope in Scope)
    assert infer < manage < admin
    assert manage == Role.OWNER.permissions
    assert admin - manage == {Permission.OPERATE}


def test_a_scope_is_the_sum_of_its_words() -> None:
    assert permissions_of(" models:read   infer ") == {Permission.MODELS_READ, Permission.INFER}
    assert len(" ".join(SCOPES)) <= MAX_SCOPE


@pytest.mark.parametrize("scope", ["", " ", "root", "infer,manage", "Infer", "operate", "x" * 99])
def test_what_is_no_scope_is_refused(scope: str) -> None:
    with pytest.raises(Invalid, match="scope"):
        permissions_of(scope)


@pytest.mark.parametrize("role", list(Role))
def test_a_roles_scope_is_what_the_role_may_do(role: Role) -> None:
    assert permissions_of(role.scope) == role.permissions
    assert Permission.OPERATE not in role.permissions
    assert len(role.scope) <= MAX_SCOPE


def test_an_auditor_changes_nothing_and_an_accountant_sees_no_models() -> None:
    assert all(each.endswith(":read") for each in Role.AUDITOR.permissions)
    assert Permission.MODELS_READ not in Role.ACCOUNTANT.permissions
    assert Permission.KEYS_WRITE not in Role.PUBLISHER.permissions
    assert Permission.MODELS_READ not in Role.CONSUMER.permissions


def test_a_grant_reaches_what_it_holds_and_gives_away_no_more() -> None:
    grant = Grant("key_1", "tnt_1", "infer models:read")
    require(grant, Permission.MODELS_READ)
    covers(grant, "models:read")
    with pytest.raises(Forbidden, match="has scope 'infer models:read', this needs 'models:write'"):
        require(grant, Permission.MODELS_WRITE)
    for wider in ("manage", "infer models:write", "admin"):
        with pytest.raises(Forbidden, match="does not hold"):
            covers(grant, wider)
