"""The KServe client's calls, run by an interpreter that has it: `... URL GRPC_URL KEY`.

Prints what came of each call as one JSON object. The deployments are those of `conftest.py`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig


async def told(call: Awaitable[Any]) -> Any:
    """The result, or the status with which the server refused."""
    try:
        return await call
    except httpx.HTTPStatusError as error:
        return {"refused": error.response.status_code, "message": str(error)}
    except grpc.RpcError as error:
        return {"refused": error.code().name, "message": error.details()}


async def by_v1(url: str, headers: dict[str, str]) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    record = {"instances": [{"size": 1.5, "place": "hill"}]}
    rows = {"instances": [[1, 2], [3, 4]]}
    return {
        "live": await told(client.is_server_live(url, headers=headers)),
        "ready": await told(client.is_model_ready(url, "numbers", headers=headers)),
        "unknown": await told(client.is_model_ready(url, "nothing", headers=headers)),
        "numbers": await told(client.infer(url, rows, "numbers", headers=headers)),
        "mixed": await told(client.infer(url, record, "mixed", headers=headers)),
        "wrong": await told(client.infer(url, {"instances": [[1]]}, "numbers", headers=headers)),
        "no_key": await told(client.infer(url, rows, "numbers")),
    }


async def by_v2(url: str, headers: dict[str, str]) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))

    async def infer(model: str, *inputs: InferInput) -> Any:
        request = InferRequest(model_name=model, infer_inputs=list(inputs), request_id="r-1")
        answer = await told(client.infer(url, request, model, headers=headers))
        if isinstance(answer, dict):
            return answer
        outputs = {each.name: [each.shape, each.data] for each in answer.outputs}
        return {"id": answer.id, "model": answer.model_name, "outputs": outputs}

    numbers = InferInput("x", [2, 2], "FP32", data=[1, 2, 3, 4])
    short = InferInput("x", [2, 2], "FP32", data=[1, 2, 3])
    words = InferInput("text", [2], "BYTES", data=["a", "ü"])
    size = InferInput("size", [1], "FP32", data=[1.5])
    place = InferInput("place", [1], "BYTES", data=["hill"])
    return {
        "live": await told(client.is_server_live(url, headers=headers)),
        "server_ready": await told(client.is_server_ready(url, headers=headers)),
        "ready": await told(client.is_model_ready(url, "numbers", headers=headers)),
        "unknown": await told(client.is_model_ready(url, "nothing", headers=headers)),
        "numbers": await infer("numbers", numbers),
        "words": await infer("words", words),
        "mixed": await infer("mixed", size, place),
        "wrong": await infer("numbers", short),
    }


def text(value: Any) -> Any:
    if isinstance(value, list):
        return [text(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


async def by_grpc(url: str, headers: dict[str, str]) -> dict[str, Any]:
    metadata = tuple((name.lower(), value) for name, value in headers.items())
    client = InferenceGRPCClient(url)

    async def infer(model: str, *inputs: InferInput, key: Any = metadata) -> Any:
        request = InferRequest(model_name=model, infer_inputs=list(inputs), request_id="r-1")
        answer = await told(client.infer(request, headers=key))
        if isinstance(answer, dict):
            return answer
        outputs = {
            each.name: [each.shape, text(each.as_numpy().tolist())] for each in answer.outputs
        }
        return {"id": answer.id, "model": answer.model_name, "outputs": outputs}

    numbers = InferInput("x", [2, 2], "FP32", data=[1, 2, 3, 4])
    raw = InferInput("x", [2, 2], "FP32")
    raw.set_data_from_numpy(np.array([[1, 2], [3, 4]], np.float32))
    words = InferInput("text", [2], "BYTES")
    words.set_data_from_numpy(np.array(["a", "ü"], np.object_))
    size = InferInput("size", [1], "FP32", data=[1.5])
    place = InferInput("place", [1], "BYTES", data=[b"hill"])
    short = InferInput("x", [2, 2], "FP32", data=[1, 2, 3])
    async with client:
        return {
            "live": await told(client.is_server_live(headers=metadata)),
            "server_ready": await told(client.is_server_ready(headers=metadata)),
            "ready": await told(client.is_model_ready("numbers", headers=metadata)),
            "unknown": await told(client.is_model_ready("nothing", headers=metadata)),
            "numbers": await infer("numbers", numbers),
            "raw": await infer("numbers", raw),
            "words": await infer("words", words),
            "mixed": await infer("mixed", size, place),
            "wrong": await infer("numbers", short),
            "no_key": await infer("numbers", numbers, key=()),
        }


async def main(url: str, grpc_url: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    came = {
        "v1": await by_v1(url, headers),
        "v2": await by_v2(url, headers),
        "grpc": await by_grpc(grpc_url, headers),
    }
    sys.stdout.write(json.dumps(came))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
