from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from modelyard.cli.failure import CommandFailed
from modelyard.cli.job_view import Board, time_of
from modelyard.cli.train import follow, parse_columns, parse_parameters, parse_selection
from modelyard_client import Client
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


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (["age:impute"], "--column 'age:impute' must be NAME:OPTION=VALUE"),
        (["age:scale=none,=3"], "must be NAME:OPTION=VALUE"),
        (["age:scale=none", "age:scale=robust"], "'scale' of 'age' is given twice"),
        (["age:scale=none,scale=robust"], "'scale' is given twice"),
    ],
)
def test_a_rule_of_a_column_is_whole_and_said_once(rules: list[str], said: str) -> None:
    with pytest.raises(CommandFailed, match=said):
        parse_columns(rules)
    with pytest.raises(CommandFailed, match="'depth' is given twice"):
        parse_parameters(["depth=3", "depth=4"])


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_bound_that_is_no_number_is_no_bound(
    run: Run, server: ScriptedServer, value: str
) -> None:
    told = run("train", "m", "--dataset", "d", "--target", "y", "--max-seconds", value)
    assert (told.code, server.asked) == (1, [])
    assert f"max_seconds is {value}; a finite number is needed" in told.err


def test_a_number_that_no_version_has_is_not_the_newest(run: Run, server: ScriptedServer) -> None:
    model = {"id": "mdl_1", "name": "m", "created_at": AT, "latest": 3}
    server.answers = [Answer(200, model), Answer(200, {"items": []})]
    told = run("models", "card", "m:0")
    assert (told.code, told.err.strip()) == (1, "modelyard: version '0' must be a number such as 3")


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


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_who_stops_waiting_learns_that_the_job_goes_on(
    run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    server.answers = [Answer(202, _job("queued"))]
    monkeypatch.setattr("modelyard_client.jobs.Jobs.follow", interrupted)
    ended = run("train", "m", "--dataset", "d", "--target", "y", "--wait", *form)
    assert (ended.code, ended.out) == (130, "")
    assert ended.err.startswith("modelyard: interrupted: the job goes on")
    assert "modelyard jobs watch job_1" in ended.err
    assert "modelyard jobs cancel job_1" in ended.err


CANDIDATE = {"algorithm": "ridge", "score": 0.9, "spread": 0.01, "seconds": 0.1}
VERSION = {
    "id": "ver_1",
    "model": "m",
    "number": 3,
    "created_at": AT,
    "signature": None,
    "artifacts": [],
    "lineage": {"source": "training", "dataset": "d", "dataset_version": 2},
    "card": {
        "task": "classification",
        "algorithm": "ridge",
        "metric": "f1",
        "metrics": {"f1": 0.91},
        "confusion": {"labels": ["no", "yes"], "counts": [[70, 1], [2, 40]]},
        "leaderboard": [CANDIDATE, {"algorithm": "svm", "score": None, "error": "too few rows"}],
        "ensemble": {
            "method": "stacking",
            "members": [{"algorithm": "ridge", "score": 0.9, "weight": 0.25}],
            "folds": 5,
            "rows": 90,
        },
    },
    "parity": {"agreed": False, "reason": "the difference is 0.5"},
}


def _training(asked: Asked) -> Answer:
    """A job that tells one fold of one algorithm and has then made version 3."""
    if "/models/" in asked.path:
        return Answer(200, VERSION)
    if "/events" not in asked.path:
        return Answer(200, _job("succeeded", result={"model": "m", "version": 3}))
    data = {"algorithm": "ridge", "fold": 1, "metric": "f1", "score": 0.75}
    story = [
        {"seq": 1, "at": AT, "message": "trying ridge", "fraction": 0.0},
        {
            "seq": 2,
            "at": AT,
            "message": "ridge: fold 1 of 5",
            "fraction": 0.2,
            "data": data,
            "seconds_left": 75.2,
        },
    ]
    after = int(asked.path.partition("after=")[2])
    return Answer(200, {"items": story[after:]})


def test_a_file_gets_the_main_lines_and_the_card(run: Run, server: ScriptedServer) -> None:
    server.script = _training
    ended = run("train", "m", "--dataset", "d", "--target", "y", "--wait")
    assert ended.code == 0
    assert "trying ridge" in ended.out
    assert "fold 1" not in ended.out
    said = [line.split() for line in ended.out.splitlines()]
    assert ["ridge", "0.9000", "0.0100", "0.1"] in said
    assert ["svm", "-", "-", "0.0", "too", "few", "rows"] in said
    assert ["f1", "0.9100"] in said
    assert ["yes", "2", "40"] in said
    assert ["made", "of", "ridge", "(weight", "0.25)"] in said
    assert "not served: the difference is 0.5" in ended.out


def test_a_job_is_watched_to_its_end(run: Run, server: ScriptedServer) -> None:
    server.script = _training
    ended = run("jobs", "watch", "job_1")
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "job job_1 succeeded")
    assert "trying ridge" in ended.out
    server.script = lambda asked: (
        _training(asked) if "/events" in asked.path else Answer(200, _job("cancelled"))
    )
    ended = run("jobs", "watch", "job_1")
    assert ended.code == 1
    assert "was cancelled" in ended.err


def test_rules_for_columns() -> None:
    assert parse_columns(["age:impute=mean,scale=robust", "a:b:fill=3", "age:indicator=true"]) == {
        "age": {"impute": "mean", "scale": "robust", "indicator": True},
        "a:b": {"fill": 3},
    }
    for wrong in ("age", "age:scale"):
        with pytest.raises(CommandFailed, match="NAME:OPTION=VALUE"):
            parse_columns([wrong])


def test_a_selection_of_columns() -> None:
    assert parse_selection("k_best=10") == {"method": "k_best", "k": 10}
    assert parse_selection("l1") == {"method": "l1"}
    with pytest.raises(CommandFailed, match="no method 'best'; there are: k_best, variance, l1"):
        parse_selection("best=3")


def test_time_left_in_words() -> None:
    assert [time_of(seconds) for seconds in (0.4, 61, 3723)] == ["0:00", "1:01", "1:02:03"]


def test_a_terminal_gets_a_bar_and_the_scores_so_far(server: ScriptedServer) -> None:
    server.script = _training
    drawn = StringIO()
    out = Console(file=drawn, force_terminal=True, width=100, markup=False, highlight=False)
    with Client() as client:
        version = follow(client, client.jobs.get("job_1"), out)
    assert version.number == 3
    assert "F1" in drawn.getvalue()
    assert "0.7500" in drawn.getvalue()
    assert "1:15 left" in drawn.getvalue()
