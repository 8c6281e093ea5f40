"""Commands that only show what the server says: tables for people, one document for programs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.cli.display import size, text
from modelyard.cli.models import name_of
from tests.unit.cli.conftest import Ended, Run
from tests.unit.sdk.scripted_server import Answer, ScriptedServer

AT = "2026-11-22T00:00:00Z"
KEY = {
    "id": "key_1",
    "name": "web [bold]shop",
    "scope": "infer",
    "hint": "my_abcdef",
    "created_at": AT,
}
DATASET = {"id": "dst_1", "name": "churn", "created_at": AT, "latest": 2}
MODEL = {"id": "mdl_1", "name": "churn", "created_at": AT, "latest": 1}
JOB = {
    "id": "job_1",
    "kind": "train",
    "state": "running",
    "created_at": AT,
    "spec": {"model": "churn"},
}
DEPLOYMENT: dict[str, Any] = {
    "id": "dep_1",
    "name": "churn",
    "spec": {
        "model": "churn@champion",
        "options": {
            "max_batch_size": 8,
            "max_delay_ms": 0.5,
            "max_queue": 16,
            "timeout_ms": 1000,
            "cache": {"max_bytes": 4096, "ttl_seconds": 1.5},
            "replicas": None,
            "pinned": False,
            "idle_seconds": 300.0,
            "memory_bytes": 0,
            "language": None,
        },
    },
    "generation": 1,
    "status": {"state": "failed", "reason": "it is damaged", "generation": 1},
    "created_at": AT,
    "updated_at": AT,
}


@pytest.mark.parametrize(
    ("noun", "item", "shown"),
    [
        ("keys", KEY, ["key_1", "web [bold]shop", "infer", "in force"]),
        ("datasets", DATASET, ["churn", "2"]),
        ("models", MODEL, ["churn", "1"]),
        ("jobs", JOB, ["job_1", "train", "churn", "running"]),
        ("deployments", DEPLOYMENT, ["churn", "churn@champion", "failed"]),
    ],
)
def test_lists(
    run: Run, server: ScriptedServer, noun: str, item: dict[str, Any], shown: list[str]
) -> None:
    server.answers = [Answer(200, {"items": [item]})]
    ended = run(noun, "list")
    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert all(word in ended.out.splitlines()[1] for word in shown)
    (document,) = json.loads(run(noun, "list", "--json").out)
    assert {name: document[name] for name in item if name not in ("status", "created_at")} == {
        name: value for name, value in item.items() if name not in ("status", "created_at")
    }


def test_jobs_say_how_far_they_are_or_what_they_came_to(run: Run, server: ScriptedServer) -> None:
    metrics = {"f1": 0.91, "recall": 0.5}
    made = {"model": "churn", "version": 3, "algorithm": "ridge", "metrics": metrics}
    done = {**JOB, "state": "succeeded", "message": "converting", "fraction": 0.93, "result": made}
    running = {**JOB, "fraction": 0.4, "message": "trying ridge"}
    server.answers = [Answer(200, {"items": [running, done]}), Answer(200, done)]
    first, second = run("jobs", "list").out.splitlines()[1:]
    assert "running 40%" in first
    assert first.rstrip().endswith("trying ridge")
    assert "succeeded  " in second
    assert second.rstrip().endswith("made churn:3, ridge")
    shown = run("jobs", "show", "job_1").out
    assert "made churn:3, ridge" in shown
    assert "f1 0.91; recall 0.5" in shown


@pytest.mark.parametrize("noun", ["keys", "datasets", "models", "jobs", "deployments", "prices"])
def test_empty_lists(run: Run, server: ScriptedServer, noun: str) -> None:
    server.answers = [Answer(200, {"items": []})]
    assert run(noun, "list").out.startswith("no ")
    assert json.loads(run(noun, "list", "--json").out) == []


def test_a_new_key_is_alone_on_standard_output(run: Run, server: ScriptedServer) -> None:
    made = {**KEY, "key": "my_secret"}
    server.answers = [Answer(201, made)]
    ended = run("keys", "create", "--scope", "infer", "--name", "shop")
    assert ended.out == "my_secret\n"
    assert "not shown again" in ended.err
    document = json.loads(run("keys", "create", "--json").out)
    assert (document["id"], document["key"]) == ("key_1", "my_secret")
    assert server.asked[0].json() == {"name": "shop", "scope": "infer"}


def test_a_key_is_meant_by_its_id_or_its_name(run: Run, server: ScriptedServer) -> None:
    revoked = {**KEY, "id": "key_2", "name": "shop", "revoked_at": AT}
    first, second = (
        {**KEY, "id": f"key_{number}", "name": name} for number, name in ((3, "shop"), (4, "till"))
    )

    def revoke(name: str, *keys: dict[str, Any]) -> Ended:
        server.asked.clear()
        server.answers = [*([Answer(200, {"items": keys})] if keys else []), Answer(200, first)]
        return run("keys", "revoke", name)

    assert revoke("shop", revoked, first, second).code == 0
    assert server.asked[-1].path == "/api/v1/keys/key_3/revoke"
    assert revoke("key_2").code == 0
    assert [asked.path for asked in server.asked] == ["/api/v1/keys/key_2/revoke"]
    assert "no key 'shops' in force" in revoke("shops", revoked, first).err
    again = {**first, "id": "key_5"}
    assert "2 keys are called 'shop': say key_3 or key_5" in revoke("shop", first, again).err


def test_a_deployment_that_fails_fails_the_command(run: Run, server: ScriptedServer) -> None:
    server.answers = [Answer(200, DEPLOYMENT)]
    ended = run("deploy", "churn@champion", "--wait")
    assert (ended.code, ended.out) == (1, "")
    assert "it is damaged" in ended.err
    assert server.asked[0].path == "/api/v1/deployments/churn"


def test_deploying_changes_the_options_that_are_given(run: Run, server: ScriptedServer) -> None:
    server.answers = [Answer(200, DEPLOYMENT), Answer(200, DEPLOYMENT)]
    assert run("deploy", "churn", "--max-queue", "99", "--cache-ttl", "0").code == 0
    options = {**DEPLOYMENT["spec"]["options"], "max_queue": 99, "cache": None}
    assert server.asked[1].json() == {"model": "churn", "options": options}


def test_a_new_deployment_has_the_options_that_are_given(run: Run, server: ScriptedServer) -> None:
    missing = {"status": 404, "title": "Not Found", "detail": "no", "code": "not_found"}
    server.answers = [Answer(404, missing), Answer(201, DEPLOYMENT)]
    assert run("deploy", "churn", "--max-batch-size", "4", "--cache-ttl", "2").code == 0
    options = server.asked[1].json()["options"]
    assert options["max_batch_size"] == 4
    assert options["cache"]["ttl_seconds"] == 2
    assert options["timeout_ms"] == 60_000


def test_replicas_are_a_number_or_the_fewest_and_the_most(run: Run, server: ScriptedServer) -> None:
    for given, expected in (
        (("--replicas", "0..3"), {"min": 0, "max": 3, "target_concurrency": 4}),
        (("--replicas", "2"), {"min": 2, "max": 2, "target_concurrency": 4}),
        (("--target-concurrency", "9"), {"min": 1, "max": 1, "target_concurrency": 9}),
    ):
        server.asked.clear()
        server.answers = [Answer(200, DEPLOYMENT), Answer(200, DEPLOYMENT)]
        assert run("deploy", "churn", *given, "--pin", "--idle-seconds", "60").code == 0
        options = server.asked[1].json()["options"]
        assert options["replicas"] == expected
        assert options["pinned"] is True
        assert options["idle_seconds"] == 60
    ended = run("deploy", "churn", "--replicas", "many")
    assert ended.code == 1
    assert "such as 2 or 0..3" in ended.err


def test_deploying_without_options_says_nothing_of_them(run: Run, server: ScriptedServer) -> None:
    server.answers = [Answer(200, DEPLOYMENT)]
    assert run("deploy", "churn").code == 0
    assert server.asked[0].json() == {"model": "churn"}


PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def metadata(**parameters: bool) -> Answer:
    given = {"name": "image", "datatype": "BYTES", "shape": [-1], "parameters": parameters}
    return Answer(200, {"name": "net", "versions": ["1"], "inputs": [given], "outputs": []})


def test_a_prediction_from_a_picture(run: Run, server: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "cat.png"
    file.write_bytes(PICTURE)
    answer = {"label": "cat", "score": 0.75, "labels": ["cat", "dog"], "scores": [0.75, 0.25]}
    server.answers = [metadata(binary=True), Answer(200, {"predictions": [answer]})]

    ended = run("predict", "net", "--input", str(file))

    sent = base64.b64encode(PICTURE).decode()
    assert server.asked[-1].json() == {"instances": [{"image": sent}]}
    assert [line.split() for line in ended.out.splitlines()] == [
        ["ROW", "LABEL", "SCORE", "LABELS", "SCORES"],
        ["1", "cat", "0.75", "cat;", "dog", "0.75;", "0.25"],
    ]


def test_a_picture_for_a_model_that_takes_none(
    run: Run, server: ScriptedServer, tmp_path: Path
) -> None:
    file = tmp_path / "cat.png"
    file.write_bytes(PICTURE)
    server.answers = [metadata()]

    ended = run("predict", "net", "--input", str(file))

    assert ended.code == 1
    assert "cat.png is not UTF-8 text, and 'net' takes no other files" in ended.err


def test_predictions_from_a_csv_file(run: Run, server: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("﻿age,left\n41,yes\n,no\n", encoding="utf-8")
    features = {"name": "age", "datatype": "FP32", "shape": [-1]}
    server.answers = [
        Answer(200, {"name": "churn", "inputs": [features], "outputs": []}),
        Answer(200, {"predictions": ["stays", "goes"]}),
    ]
    ended = run("predict", "churn", "--input", str(file))
    assert ended.code == 0
    assert [line.split() for line in ended.out.splitlines()[1:]] == [["1", "stays"], ["2", "goes"]]
    assert "left" in ended.err
    assert server.asked[1].json() == {"instances": [{"age": 41.0}, {"age": None}]}


def test_many_rows_go_in_several_requests(run: Run, server: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n' * 2500)
    server.script = lambda asked: Answer(
        200, {"predictions": [0.5] * len(asked.json()["instances"])}
    )
    ended = run("predict", "m", "--input", str(file), "--json")
    assert json.loads(ended.out) == {"predictions": [0.5] * 2500}
    assert [len(asked.json()["instances"]) for asked in server.asked] == [1000, 1000, 500]


@pytest.mark.parametrize(
    ("reference", "name"), [("churn", "churn"), ("churn:3", "churn"), ("churn@champion", "churn")]
)
def test_the_name_in_a_reference(reference: str, name: str) -> None:
    assert name_of(reference) == name


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 40, "3072.0 GiB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown


def test_cells_cannot_steer_the_terminal() -> None:
    assert text("a\x1b[31m\nb\u202e") == "a [31m b "
    assert len(text("x" * 1000)) == 120
