"""The reference: the least Python that serves the model under uvicorn.

A raw ASGI app that parses the V2 JSON with msgspec and calls the same ONNX session. No key, no
signature check, no journal, no metrics, no errors worth the name.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import uvicorn

from modelyard.serving.runtimes.onnx import open_session

Message = MutableMapping[str, Any]


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None


def make_app(graph: Path) -> Callable[..., Awaitable[None]]:
    """The ASGI app around one session."""
    session = open_session(graph.read_bytes())
    decode = msgspec.json.Decoder(_Request).decode
    names = [output.name for output in session.get_outputs()]

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[..., Any]
    ) -> None:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        if scope["path"] == "/readyz":
            answer = b"{}"
        else:
            given = decode(body).inputs[0]
            tensor = np.array(given.data, np.float32).reshape(given.shape)
            outputs = session.run(names, {given.name: tensor})
            answer = orjson.dumps(
                {
                    "model_name": "model",
                    "outputs": [
                        {
                            "name": name,
                            "datatype": "INT64" if output.dtype == np.int64 else "FP32",
                            "shape": output.shape,
                            "data": output.ravel().tolist(),
                        }
                        for name, output in zip(names, outputs, strict=True)
                    ],
                }
            )
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def main() -> None:
    """Serve on MODELYARD_BENCH_PORT."""
    uvicorn.run(
        make_app(Path(os.environ["MODELYARD_BENCH_MODEL"])),
        port=int(os.environ["MODELYARD_BENCH_PORT"]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
