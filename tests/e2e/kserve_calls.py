"""The KServe client's calls, run by an interpreter that has it: `kserve_calls.py URL KEY`.

Prints what came of each call as one JSON object. The deployments are those of `test_clients.py`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import httpx
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig


async def told(call: Awaitable[Any]) -> Any:
    """The result, or the status with which the server refused."""
    try:
        return await call
    except httpx.HTTPStatusError as error:
        return {"refused": error.response.status_code, "message": str(error)}


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


async def main(url: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    came = {"v1": await by_v1(url, headers), "v2": await by_v2(url, headers)}
    sys.stdout.write(json.dumps(came))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
