import pytest

from modelyard.core.access import Scope


@pytest.mark.parametrize("own", list(Scope))
@pytest.mark.parametrize("needed", list(Scope))
def test_a_scope_holds_the_ones_before_it(own: Scope, needed: Scope) -> None:
    order = [Scope.INFER, Scope.MANAGE, Scope.ADMIN]
    assert own.allows(needed) == (order.index(own) >= order.index(needed))
