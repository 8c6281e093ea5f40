from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from modelyard.cli.failure import CommandFailed
from modelyard.cli.train import Board, parse_parameters
from modelyard_client.jobs import JobEvent
from tests.unit.cli.conftest import Run
from tests.unit.sdk.scripted_server import Answer, Asked, ScriptedServer

AT = "2026-11-22T00:00:00Z"


def _job(state: str, **more: Any) -> dict[str, Any]:
    return {"id": "job_1", "kind": "train", "state": state, "created_at": AT, **more}


def test_parameters_are_json_where_they_are_json() -> None:
    pairs = ["depth=3", "rate=0.5", "solver=saga", "balanced=true", "layers=[8, 8]", "text=a=b"]
    assert parse_parameters(pairs) == {
        "depth": 3,
        "rate": 0.5,
        "solver": "saga",
        "balanced": True,
        "layers": [8, 8],
        "text": "a=b",
    }


@pytest.mark.parametrize("pair", ["depth", "=3", ""])
def test_a_parameter_without_name_or_value_is_refused(pair: str) -> None:
    with pytest.raises(CommandFailed, match="NAME=VALUE"):
        parse_parameters([pair])


def test_the_board_averages_the_folds_told_so_far() -> None:
    board = Board()
    for algorithm, score in (("linear", 0.5), ("forest", 1), ("linear", 0.7)):
        data = {"algorithm": algorithm, "score": score, "metric": "r2"}
        board.add(JobEvent(1, datetime.now(UTC), "m", data=data))
    board.add(JobEvent(2, datetime.now(UTC), "no score"))
    assert board.metric == "r2"
    assert board.rows() == [("linear", "0.6000", 2), ("forest", "1.0000", 1)]


def test_options_become_the_spec(run: Run, server: ScriptedServer) -> None:
    server.answers = [Answer(202, _job("queued"))]
    options = [
        "--dataset",
        "d",
        "--target",
        "y",
        "--param",
        "depth=3",
        "--param",
        "rate=1",
        "--exclude",
        "id",
        "--seed",
        "7",
    ]
    ended = run("train", "m", *options, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["id"] == "job_1"
    assert server.asked[0].json()["spec"] == {
        "model": "m",
        "dataset": "d",
        "target": "y",
        "algorithm": "auto",
        "parameters": {"depth": 3, "rate": 1},
        "exclude": ["id"],
        "seed": 7,
    }


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_job_that_fails_fails_the_command(
    run: Run, server: ScriptedServer, form: list[str]
) -> None:
    failure = {"code": "invalid", "message": "column 'y' holds one value"}

    def script(asked: Asked) -> Answer:
        if "/events" in asked.path:
            return Answer(200, {"items": []})
        state = "queued" if asked.method == "POST" else "failed"
        return Answer(202 if asked.method == "POST" else 200, _job(state, failure=failure))

    server.script = script
    ended = run("train", "m", "--dataset", "d", "--target", "y", "--wait", *form)
    assert ended.code == 1
    assert "column 'y' holds one value" in ended.err
    if form:
        assert json.loads(ended.out)["state"] == "failed"
