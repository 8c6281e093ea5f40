from __future__ import annotations

import pytest

from modelyard.core.errors import NotFound, Unavailable
from modelyard.serving.snapshot import Snapshot

AT = ("tnt_a", "churn")


def test_keys_that_are_not_known_yet_are_not_refused() -> None:
    with pytest.raises(Unavailable, match="starting"):
        Snapshot().key(b"secret", bytes)
    assert Snapshot(0).key(b"secret", bytes) is None


def test_what_does_not_serve_is_told_from_what_is_not_there() -> None:
    with pytest.raises(NotFound, match="no deployment 'churn'"):
        Snapshot(1).route(*AT)
    with pytest.raises(Unavailable, match="loading"):
        Snapshot(1, loading=frozenset({AT})).route(*AT)
    with pytest.raises(Unavailable, match="does not serve: the file is damaged"):
        Snapshot(1, failures={AT: "the file is damaged"}).route(*AT)
    with pytest.raises(NotFound):
        Snapshot(1, failures={AT: "x"}, loading=frozenset({AT})).route("tnt_b", "churn")
