from __future__ import annotations

import pytest

from modelyard.adapters.engine.host.autoscaler import DOWN_SECONDS, Hold, replicas_for
from modelyard.adapters.engine.host.messages import ReplicaOptions


@pytest.mark.parametrize(("load", "replicas"), [(0, 0), (1, 1), (2, 1), (3, 2), (8, 4), (999, 4)])
def test_each_replica_is_there_for_so_many_requests(load: int, replicas: int) -> None:
    options = ReplicaOptions(minimum=0, maximum=4, target_concurrency=2)
    assert replicas_for(options, load) == replicas


def test_what_was_wanted_lately_is_held() -> None:
    hold = Hold()
    assert hold.most(4, 0.0) == 4
    assert hold.most(1, DOWN_SECONDS - 1) == 4
    # Once more as much to do, and the time begins anew.
    assert hold.most(4, DOWN_SECONDS - 0.5) == 4
    assert hold.most(1, DOWN_SECONDS + 1) == 4
    assert hold.most(1, 2 * DOWN_SECONDS) == 1
