"""LitServe: one API a model; the dear one is batched.

`python -m bench.peers.litserve PORT`. LitServe reads the names of the parameters, and takes an
annotation of `request` for a body to validate; its documentation has none.
"""

import sys
from collections.abc import Sequence
from typing import Any

import litserve
import numpy as np

from bench.peers.session import load, names


class OnnxApi(litserve.LitAPI):
    """One graph."""

    def __init__(self, model: str, **options: Any) -> None:
        super().__init__(api_path=f"/{model}", **options)
        self._model = model

    def setup(self, device: str) -> None:
        """Open the session, in the worker process."""
        self._infer = load(self._model)

    def decode_request(self, request):
        """The rows."""
        return np.asarray(request["instances"], dtype=np.float32)

    def predict(self, x: Any) -> Any:
        """The outputs."""
        return self._infer(x)

    def encode_response(self, output):
        """The outputs as lists."""
        return {name: value.tolist() for name, value in output.items()}


class BatchedApi(OnnxApi):
    """One graph, several requests a call; each request has one row."""

    def batch(self, inputs: Sequence[Any]) -> Any:
        """The rows of all requests."""
        return np.concatenate(inputs)

    def unbatch(self, output: dict[str, Any]) -> list[dict[str, Any]]:
        """Each request's row of every output."""
        rows = len(next(iter(output.values())))
        return [{name: value[i : i + 1] for name, value in output.items()} for i in range(rows)]


def main() -> None:
    """Serve all models."""
    apis = [
        BatchedApi(name, max_batch_size=32, batch_timeout=0.002)
        if name == "network"
        else OnnxApi(name)
        for name in names()
    ]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="error",
        access_log=False,
    )


if __name__ == "__main__":
    main()
