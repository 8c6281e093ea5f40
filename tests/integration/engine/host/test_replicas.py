from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelyard.adapters.engine.host.messages import Unwant
from modelyard.serving.replica.messages import Answer
from tests.e2e import graphs
from tests.integration.engine.host.yard import rows, running, until

pytestmark = pytest.mark.asyncio


async def test_a_version_is_loaded_and_called(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        spec = yard.spec(graphs.scaled(tmp_path / "model.onnx", 3.0))
        gateway.want(spec)
        await gateway.prepared(spec.key)
        (replica,) = yard.scheduler.replicas.values()
        channel = gateway.channels[replica.id]
        answer, outputs = await channel.ask(rows(1, 2, 3, 4))
        assert isinstance(answer, Answer)
        np.testing.assert_array_equal(outputs["y"], [[3, 6], [9, 12]])
        gateway.say(Unwant(spec.key))
        await until(lambda: not yard.scheduler.replicas, "the replica is unloaded")
        assert not any((tmp_path / "replicas").iterdir())
