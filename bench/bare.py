"""The reference: the least Python that serves the model under uvicorn.

A raw ASGI app that parses the V2 request with msgspec and calls the same ONNX session. No key, no
signature check, no journal, no metrics, no batching, no errors worth the name.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import orjson
import uvicorn

from modelyard.serving.runtimes.onnx import open_session

Message = MutableMapping[str, Any]

_HEADER_LENGTH: Final = b"inference-header-content-length"


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[float] | None = None


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None


_decode: Final = msgspec.json.Decoder(_Request).decode


def read(body: bytes, header_length: int | None) -> npt.NDArray[np.float32]:
    """The one tensor of a V2 request, in JSON or as the binary data behind it."""
    if header_length is None:
        given = _decode(body).inputs[0]
        return np.array(given.data, np.float32).reshape(given.shape)
    given = _decode(memoryview(body)[:header_length]).inputs[0]
    return np.frombuffer(body, np.float32, offset=header_length).reshape(given.shape)


def make_app(graphs: Path) -> Callable[..., Awaitable[None]]:
    """The ASGI app around one session for each graph of the folder."""
    sessions = {path.stem: open_session(path.read_bytes()) for path in graphs.glob("*.onnx")}
    names = {
        name: [output.name for output in session.get_outputs()]
        for name, session in sessions.items()
    }

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[..., Any]
    ) -> None:
        parts = []
        while True:
            message = await receive()
            parts.append(message["body"])
            if not message["more_body"]:
                break
        if scope["path"] == "/readyz":
            answer = b"{}"
        else:
            name = scope["path"].split("/")[3]
            length = next((int(v) for k, v in scope["headers"] if k == _HEADER_LENGTH), None)
            tensor = read(b"".join(parts), length)
            answer = _answer(name, names[name], sessions[name].run(names[name], {"X": tensor}))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def _answer(model: str, names: list[str], outputs: list[npt.NDArray[Any]]) -> bytes:
    return orjson.dumps(
        {
            "model_name": model,
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


def main() -> None:
    """Serve the graphs of a folder on a port: `python -m bench.bare FOLDER PORT`."""
    uvicorn.run(
        make_app(Path(sys.argv[1])),
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
