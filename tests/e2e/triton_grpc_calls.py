"""Calls of Triton's gRPC client, run by an interpreter that has it: `... URL KEY`.

Prints what came of each group of calls as one JSON object; a refusal as its status and message.
The deployments are those of `conftest.py`.
"""

from __future__ import annotations

import json
import queue
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from google.protobuf.json_format import MessageToDict
from tritonclient.utils import InferenceServerException

BYTES = np.array([["", "zwölf"], ["a\x00b", "😀" * 99]], np.object_)
NUMPY = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}


def told(call: Callable[[], Any]) -> Any:
    """The result, or how the server refused."""
    try:
        return call()
    except InferenceServerException as error:
        return {"refused": error.status(), "message": error.message()}


def given(name: str, datatype: str, values: Any) -> Any:
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def numbers(value: float = 1, rows: int = 1) -> list[Any]:
    return [given("x", "FP32", np.full((rows, 2), value, np.float32))]


def turns(count: int) -> list[Any]:
    return [given("turns", "INT64", np.array([count], np.int64))]


class Calls:
    """One client with one key."""

    def __init__(self, url: str, key: str) -> None:
        self.client = triton.InferenceServerClient(url)
        self.headers = {"authorization": f"Bearer {key}"}

    def infer(self, model: str, inputs: list[Any], *outputs: str, **more: Any) -> Any:
        wanted = [triton.InferRequestedOutput(name) for name in outputs]
        return self.client.infer(model, inputs, outputs=wanted, headers=self.headers, **more)

    def server(self) -> Any:
        client, headers = self.client, self.headers
        metadata = client.get_model_metadata("mixed", "1", headers=headers, as_json=True)
        return {
            "live": client.is_server_live(headers=headers),
            "ready": client.is_server_ready(headers=headers),
            "model": client.is_model_ready("numbers", headers=headers),
            "version": client.is_model_ready("numbers", "2", headers=headers),
            "unknown": client.is_model_ready("nothing", headers=headers),
            "name": client.get_server_metadata(headers=headers).name,
            "metadata": metadata,
            "no metadata": told(lambda: client.get_model_metadata("nothing", headers=headers)),
            "no key": told(client.is_server_live),
            "other header": client.is_server_live(
                headers={"x-api-key": headers["authorization"].removeprefix("Bearer ")}
            ),
        }

    def datatypes(self) -> list[str]:
        """Those that do not come back as they went."""
        sent: dict[str, Any] = {"BYTES": BYTES}
        for name, kind in NUMPY.items():
            if name == "BOOL":
                sent[name] = np.array([[True, False], [False, True]], kind)
                continue
            limits = np.iinfo(kind) if np.issubdtype(kind, np.integer) else np.finfo(kind)
            sent[name] = np.array([[limits.min, limits.max], [0, 1]], kind)
        inputs = [given(name.lower(), name, values) for name, values in sent.items()]
        answer = self.infer("types", inputs)
        wrong = []
        for name, values in sent.items():
            came = answer.as_numpy(f"{name.lower()}_again")
            if name == "BYTES":
                decoded = [each.decode() for each in came.reshape(-1)]
                came = np.array(decoded, np.object_).reshape(came.shape)
            if came.dtype != values.dtype or not np.array_equal(came, values):
                wrong.append(name)
        return wrong

    def inference(self) -> Any:
        sizes = given("size", "FP32", np.array([1.5], np.float32))
        places = given("place", "BYTES", np.array(["hill"], np.object_))
        one = self.infer("mixed", [sizes, places], "where")
        both = self.infer("mixed", [sizes, places], "where", "doubled", request_id="r-1")
        response = both.get_response()
        packed = [
            self.infer("numbers", numbers(2, 4000), compression_algorithm=each).as_numpy("y").sum()
            for each in ("gzip", "deflate")
        ]
        return {
            "one": [each.name for each in one.get_response().outputs],
            "both": [each.name for each in response.outputs],
            "id": [one.get_response().id, response.id],
            "model": [response.model_name, response.model_version],
            "values": [both.as_numpy("doubled").tolist(), both.as_numpy("where")[0].decode()],
            "version": self.infer("numbers", numbers(), model_version="1").as_numpy("y").tolist(),
            "packed": [float(each) for each in packed],
        }

    def refusals(self) -> Any:
        wide = [given("x", "FP32", np.ones((1, 3), np.float32))]
        double = [given("x", "FP64", np.ones((1, 2), np.float64))]
        mapped = triton.InferInput("x", [1, 2], "FP32")
        mapped.set_shared_memory("mine", 8)
        x = numbers()
        return {
            "unknown": told(lambda: self.infer("nothing", x)),
            "version": told(lambda: self.infer("numbers", x, model_version="2")),
            "datatype": told(lambda: self.infer("numbers", double)),
            "shape": told(lambda: self.infer("numbers", wide)),
            "missing": told(lambda: self.infer("numbers", [])),
            "output": told(lambda: self.infer("numbers", x, "z")),
            "twice": told(lambda: self.infer("numbers", x, "y", "y")),
            "memory": told(lambda: self.infer("numbers", [mapped])),
            "deadline": told(lambda: self.infer("turns", turns(50_000), client_timeout=0.2)),
            "timeout": told(lambda: self.infer("turns", turns(50_000), timeout=100_000)),
            "after": self.infer("turns", turns(3)).as_numpy("done").tolist(),
            "no key": told(lambda: self.client.infer("numbers", x)),
            "bad key": told(
                lambda: self.client.infer("numbers", x, headers={"authorization": "Bearer my_no"})
            ),
        }

    def side_by_side(self) -> Any:
        came: queue.Queue[Any] = queue.Queue()
        for at in range(40):
            self.client.async_infer(
                "numbers",
                numbers(at),
                lambda result, error, at=at: came.put((at, result, error)),
                headers=self.headers,
            )
        answers = [came.get(timeout=30) for _ in range(40)]
        cancelled: queue.Queue[Any] = queue.Queue()
        call = self.client.async_infer(
            "turns", turns(50_000), lambda **ended: cancelled.put(ended), headers=self.headers
        )
        call.cancel()
        return {
            "right": all(result.as_numpy("y")[0, 0] == 10 * at for at, result, _ in answers),
            "cancelled": str(cancelled.get(timeout=10)["error"]),
        }

    def streamed(self) -> Any:
        """A slow one first: what comes after it must wait its turn."""
        came: queue.Queue[Any] = queue.Queue()
        self.client.start_stream(
            lambda result, error: came.put((result, error)), headers=self.headers
        )
        self.client.async_stream_infer("turns", turns(200), request_id="slow")
        for at in range(100):
            model = "nothing" if at % 10 == 3 else "numbers"
            self.client.async_stream_infer(model, numbers(at), request_id=str(at))
        order = []
        for _ in range(101):
            result, error = came.get(timeout=30)
            order.append(str(error) if error else result.get_response().id)
        self.client.stop_stream()
        # Refused before a request is sent.
        self.client.start_stream(lambda result, error: came.put((result, error)))
        _, refused = came.get(timeout=10)
        self.client.stop_stream(cancel_requests=True)
        self.client.start_stream(
            lambda result, error: came.put((result, error)),
            stream_timeout=0.3,
            headers=self.headers,
        )
        self.client.async_stream_infer("turns", turns(50_000))
        _, late = came.get(timeout=10)
        self.client.stop_stream(cancel_requests=True)
        return {"order": order, "refused": refused.status(), "late": str(late)}

    def extensions(self) -> Any:
        client, headers = self.client, self.headers

        def read(answer: Any) -> Any:
            return MessageToDict(answer, preserving_proto_field_name=True)

        self.infer("numbers", numbers(1, 3))
        statistics = client.get_inference_statistics("numbers", headers=headers)
        index = client.get_model_repository_index(headers=headers)
        return {
            "config": read(client.get_model_config("mixed", headers=headers)),
            "index": {each.name: [each.version, each.state] for each in index.models},
            "load": told(lambda: client.load_model("numbers", headers=headers)),
            "load?": told(lambda: client.load_model("nothing", headers=headers)),
            "unload": told(lambda: client.unload_model("numbers", headers=headers)),
            "statistics": read(statistics.model_stats[0]),
            "all": len(client.get_inference_statistics(headers=headers).model_stats),
            "trace": read(client.get_trace_settings(headers=headers)),
            "traced": told(
                lambda: client.update_trace_settings(
                    settings={"trace_level": ["TIMESTAMPS"]}, headers=headers
                )
            ),
            "log": read(client.get_log_settings(headers=headers)),
            "logged": told(
                lambda: client.update_log_settings({"log_verbose_level": 1}, headers=headers)
            ),
            "system": read(client.get_system_shared_memory_status(headers=headers)),
            "cuda": read(client.get_cuda_shared_memory_status(headers=headers)),
            "register": told(
                lambda: client.register_system_shared_memory("a", "/a", 8, headers=headers)
            ),
            "register cuda": told(
                lambda: client.register_cuda_shared_memory("a", b"aGFuZGxl", 0, 8, headers=headers)
            ),
            "unregister": told(lambda: client.unregister_system_shared_memory(headers=headers)),
        }


def main(url: str, key: str) -> None:
    calls = Calls(url, key)
    groups = (
        calls.server,
        calls.datatypes,
        calls.inference,
        calls.refusals,
        calls.side_by_side,
        calls.streamed,
        calls.extensions,
    )
    sys.stdout.write(json.dumps({group.__name__: group() for group in groups}))


if __name__ == "__main__":
    main(*sys.argv[1:])
