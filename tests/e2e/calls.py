"""Calls as any HTTP client makes them, on one connection, without retries."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from modelyard_client import Client

LEAKS = re.compile(
    rb"Traceback|File \"|my_[A-Za-z0-9_-]{20}|/(?:home|root|tmp)/|site-packages|\.py"
)
"""What no answer may hold: a traceback, a key, a path of the host."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """One kept connection to a server, with one key. Opens it again when the server closed it."""

    def __init__(self, url: str, key: str | None, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def local_port(self) -> int:
        """Of the open connection."""
        port: int = self._connection.sock.getsockname()[1]
        return port

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; a body that is not bytes is sent as JSON. Raises OSError, HTTPException."""
        given = {**self._headers, **(headers or {})}
        if not (body is None or isinstance(body, bytes)):
            body = json.dumps(body).encode()
            given.setdefault("content-type", "application/json")
        try:
            self._connection.request(method, path, body, given)
            response = self._connection.getresponse()
            said = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, said, response.read())
        except BaseException:
            self._connection.close()
            raise

    def infer(self, deployment: str, **inputs: list[Any]) -> Answer:
        """A V2 request. Lists of numbers become FP32 tensors, of strings BYTES; nest for rows."""
        tensors = [_tensor(name, data) for name, data in inputs.items()]
        return self("POST", f"/v2/models/{deployment}/infer", {"inputs": tensors})

    def close(self) -> None:
        self._connection.close()


def serve(client: Client, name: str, graph: Path, *, alias: str = "live") -> int:
    """Import the graph as the newest version of model `name`, point the alias at it and deploy the
    alias under the same name. Returns the version's number.
    """
    number = client.models.import_model(name, graph).number
    client.models.set_alias(name, alias, number)
    client.deployments.put(name, f"{name}@{alias}")
    client.deployments.wait_ready(name)
    return number


def _tensor(name: str, data: list[Any]) -> dict[str, Any]:
    shape, first = [len(data)], data[0]
    if isinstance(first, list):
        shape, first = [len(data), len(first)], first[0]
    datatype = "BYTES" if isinstance(first, str) else "INT64" if name == "turns" else "FP32"
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}
