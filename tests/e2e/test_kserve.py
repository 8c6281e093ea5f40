"""KServe's client, as its makers publish it, against a real server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.e2e.conftest import Server


def test_it_speaks_v1_v2_and_grpc(server: Server, clients_key: str, clients_python: Path) -> None:
    script = Path(__file__).with_name("kserve_calls.py")
    ended = subprocess.run(
        [str(clients_python), str(script), server.url, server.grpc_url, clients_key],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    came = json.loads(ended.stdout)
    v1, v2, grpc = came["v1"], came["v2"], came["grpc"]
    assert (v1["live"], v1["ready"]) == (True, True)
    assert v1["unknown"]["refused"] == 404
    assert v1["numbers"] == {"predictions": [[10, 20], [30, 40]]}
    assert v1["mixed"] == {"predictions": [{"doubled": 3.0, "where": "hill"}]}
    assert v1["wrong"]["refused"] == 400
    assert v1["no_key"]["refused"] == 401
    assert (v2["live"], v2["server_ready"], v2["ready"], v2["unknown"]) == (True, True, True, False)
    assert (v2["numbers"]["id"], v2["numbers"]["model"]) == ("r-1", "numbers")
    assert v2["numbers"]["outputs"] == {"y": [[2, 2], [10, 20, 30, 40]]}
    assert v2["words"]["outputs"] == {"said": [[2], ["a", "ü"]]}
    assert v2["mixed"]["outputs"] == {"doubled": [[1], [3.0]], "where": [[1], ["hill"]]}
    assert v2["wrong"]["refused"] == 400
    assert "3" in v2["wrong"]["message"]
    assert (grpc["live"], grpc["server_ready"], grpc["ready"]) == (True, True, True)
    assert grpc["unknown"] is False
    for each in ("numbers", "raw"):
        assert (grpc[each]["id"], grpc[each]["model"]) == ("r-1", "numbers")
        assert grpc[each]["outputs"] == {"y": [[2, 2], [[10, 20], [30, 40]]]}
    assert grpc["words"]["outputs"] == {"said": [[2], ["a", "ü"]]}
    assert grpc["mixed"]["outputs"] == {"doubled": [[1], [3.0]], "where": [[1], ["hill"]]}
    assert grpc["wrong"]["refused"] == "INVALID_ARGUMENT"
    assert grpc["no_key"]["refused"] == "UNAUTHENTICATED"
