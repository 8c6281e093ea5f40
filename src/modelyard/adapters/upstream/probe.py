"""Asking a provider how it is, by the list of its models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec

from modelyard.core.errors import ModelyardError
from modelyard.core.secret import Secret
from modelyard.registry.provider import Probe, ProviderSpec
from modelyard.serving.upstream.failures import UpstreamFailed
from modelyard.serving.upstream.ports import HttpCall, HttpCalls, read_whole

MAX_BODY: Final = 4 << 20
MAX_MODELS: Final = 100
MAX_NAME: Final = 200


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: list[_Model]


class HttpProber:
    """A `Prober`. `client` gives the HTTP client, and may raise NotInstalled."""

    def __init__(self, client: Callable[[], HttpCalls]) -> None:
        self._client = client

    async def probe(self, spec: ProviderSpec, key: Secret | None) -> Probe:
        """Ask for its models."""
        headers = {} if key is None else {"authorization": f"Bearer {key.reveal()}"}
        call = HttpCall("GET", f"{spec.base_url}/models", headers, timeouts=spec.timeouts)
        began = time.monotonic()
        try:
            reason, models = await self._ask(call)
        except UpstreamFailed as failure:
            reason, models = f"{failure.kind}: {failure.detail}", ()
        except ModelyardError as error:
            reason, models = error.message, ()
        return Probe(reason, round((time.monotonic() - began) * 1000, 1), models)

    async def _ask(self, call: HttpCall) -> tuple[str, tuple[str, ...]]:
        # The first to ask waits for the library to be imported, and nobody else.
        client = await asyncio.to_thread(self._client)
        answer = await client.open(call)
        try:
            if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                return f"it does not take the key (status {answer.status})", ()
            if answer.status != HTTPStatus.OK:
                return f"it answered with status {answer.status}", ()
            body = await read_whole(answer, MAX_BODY)
        finally:
            answer.close()
        try:
            told = msgspec.json.decode(body or b"", type=_Models)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return "its answer is no list of models", ()
        return "", tuple(model.id[:MAX_NAME] for model in told.data[:MAX_MODELS])
