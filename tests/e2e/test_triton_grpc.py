"""Triton's client for gRPC, as NVIDIA publishes it, against a real server.

It runs in an interpreter of its own: its messages have the names of ours.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelyard.api.grpc.generated import inference_pb2
from tests.e2e.conftest import Server


def run(python: Path, script: str, *arguments: str) -> Any:
    ended = subprocess.run(
        [str(python), str(Path(__file__).with_name(script)), *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def came(server: Server, clients_key: str, clients_python: Path) -> Any:
    return run(clients_python, "triton_grpc_calls.py", server.grpc_url, clients_key)


def refused(told: Any, code: str, words: str) -> bool:
    return bool(told["refused"] == f"StatusCode.{code}" and words in told["message"])


def test_it_sees_the_server_and_its_models(came: Any) -> None:
    server = came["server"]
    assert (server["live"], server["ready"], server["model"]) == (True, True, True)
    assert (server["version"], server["unknown"]) == (False, False)
    assert (server["name"], server["other header"]) == ("modelyard", True)
    assert server["metadata"]["inputs"] == [
        {"name": "size", "datatype": "FP32", "shape": ["-1"]},
        {"name": "place", "datatype": "BYTES", "shape": ["-1"]},
    ]
    assert refused(server["no metadata"], "NOT_FOUND", "no deployment 'nothing'")
    assert refused(server["no key"], "UNAUTHENTICATED", "a key is required")


def test_every_datatype_comes_back_as_it_went(came: Any) -> None:
    assert came["datatypes"] == []


def test_it_infers(came: Any) -> None:
    told = came["inference"]
    assert (told["one"], told["both"]) == (["where"], ["where", "doubled"])
    assert (told["id"], told["model"]) == (["", "r-1"], ["mixed", "1"])
    assert told["values"] == [[3.0], "hill"]
    assert told["version"] == [[10, 10]]
    assert told["packed"] == [160_000, 160_000]


def test_what_is_wrong_is_told(came: Any) -> None:
    told = came["refusals"]
    assert refused(told["unknown"], "NOT_FOUND", "there is no deployment 'nothing'")
    assert refused(told["version"], "NOT_FOUND", "serves version 1, not '2'")
    assert refused(told["datatype"], "INVALID_ARGUMENT", "datatype FP64, expected FP32")
    assert refused(told["shape"], "INVALID_ARGUMENT", "'x' has shape [1, 3]")
    assert refused(told["missing"], "INVALID_ARGUMENT", "'x' is missing")
    assert refused(told["output"], "INVALID_ARGUMENT", "output 'z' is unknown")
    assert refused(told["twice"], "INVALID_ARGUMENT", "output 'y' is asked for twice")
    assert refused(told["memory"], "INVALID_ARGUMENT", "shared memory is not served")
    assert refused(told["deadline"], "DEADLINE_EXCEEDED", "")
    assert refused(told["timeout"], "DEADLINE_EXCEEDED", "time was over")
    assert told["after"] == [3]
    assert refused(told["no key"], "UNAUTHENTICATED", "a key is required")
    assert refused(told["bad key"], "UNAUTHENTICATED", "not valid")


def test_calls_run_side_by_side_and_can_be_cancelled(came: Any) -> None:
    assert came["side_by_side"]["right"]
    assert "CANCELLED" in came["side_by_side"]["cancelled"]


def test_a_stream_answers_in_order_and_survives_errors(came: Any) -> None:
    told = came["streamed"]
    error = "there is no deployment 'nothing'"
    answers = [error if at % 10 == 3 else str(at) for at in range(100)]
    assert told["order"] == ["slow", *answers]
    assert told["refused"] == "StatusCode.UNAUTHENTICATED"
    # Whose clock is first is chance.
    assert "time was over" in told["late"] or "Deadline" in told["late"]


def test_the_extensions_answer_as_over_rest(came: Any) -> None:
    told = came["extensions"]
    config = told["config"]["config"]
    assert (config["name"], config["platform"]) == ("mixed", "onnxruntime_onnx")
    assert [each["data_type"] for each in config["input"]] == ["TYPE_FP32", "TYPE_STRING"]
    assert told["index"]["numbers"] == ["1", "READY"]
    assert told["load"] is None
    assert refused(told["load?"], "NOT_FOUND", "nothing")
    assert refused(told["unload"], "INVALID_ARGUMENT", "management API")
    assert int(told["statistics"]["inference_stats"]["success"]["count"]) >= 1
    assert int(told["statistics"]["inference_count"]) >= 3
    assert told["all"] >= len(["numbers", "words", "mixed", "types", "turns"])
    assert told["trace"]["settings"]["trace_level"] == {"value": ["OFF"]}
    assert refused(told["traced"], "INVALID_ARGUMENT", "trace_level")
    assert told["log"]["settings"]["log_verbose_level"] == {"uint32_param": 0}
    assert refused(told["logged"], "INVALID_ARGUMENT", "log_verbose_level")


def test_shared_memory_is_refused(came: Any) -> None:
    told = came["extensions"]
    assert (told["system"], told["cuda"], told["unregister"]) == ({}, {}, None)
    assert refused(told["register"], "INVALID_ARGUMENT", "shared memory is not served")
    assert refused(told["register cuda"], "INVALID_ARGUMENT", "shared memory is not served")


OWN_MESSAGES = {"SharedMemoryRequest", "SharedMemoryResponse"}
"""They stand for several of the protocol's, and have no fields."""

OWN_FIELDS = {"ModelMetadataResponse.TensorMetadata": {"parameters"}}


def differences(ours: Any, theirs: Any, path: str) -> list[str]:
    """What our message has that theirs has not, or has otherwise."""
    found = []
    for field in ours.fields:
        kind = [field.number, field.type, field.is_repeated]
        own = field.name in OWN_FIELDS.get(path, ())
        if not own and theirs["fields"].get(field.name) != kind:
            found.append(f"{path}.{field.name}")
    for message in ours.nested_types:
        within = f"{path}.{message.name}"
        if message.name in theirs["messages"]:
            found += differences(message, theirs["messages"][message.name], within)
        elif message.name != "ParametersEntry":
            found.append(within)
    return found


def test_the_messages_are_the_protocols(clients_python: Path) -> None:
    theirs = run(clients_python, "triton_messages.py")
    ours = inference_pb2.DESCRIPTOR
    (service,) = ours.services_by_name.values()
    assert (ours.package, service.full_name) == (theirs["package"], theirs["service"])
    found = []
    for name, message in ours.message_types_by_name.items():
        if name in OWN_MESSAGES:
            assert not message.fields
        else:
            found += differences(message, theirs["messages"][name], name)
    assert found == []
    assert dict(inference_pb2.DataType.items()) == theirs["datatypes"]
    methods = {
        each.name: [each.client_streaming, each.server_streaming] for each in service.methods
    }
    assert methods == {name: told[2:] for name, told in theirs["methods"].items()}
