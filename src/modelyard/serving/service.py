"""Inference without a word of protocol: every edge calls this.

An edge turns a request into named tensors; this service finds the route, checks the tensors,
runs the model where it costs least, and records what was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from modelyard.core.access import Grant
from modelyard.core.clock import Clock
from modelyard.core.errors import NotFound
from modelyard.core.tensors import Tensor
from modelyard.serving.snapshot import Route, Snapshot


class InferenceService:
    """The data plane of one gateway.

    `hash_key` turns a presented key into the hash under which it is known.
    """

    def __init__(
        self,
        clock: Clock,
        hash_key: Callable[[bytes], bytes],
        *,
        threads: int,
    ) -> None:
        self._clock = clock
        self._hash_key = hash_key
        self._snapshot = Snapshot()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="infer")
        self._draining = False

    @property
    def ready(self) -> bool:
        """Whether this gateway knows its keys and routes and is not on its way out."""
        return self._snapshot.revision >= 0 and not self._draining

    @property
    def draining(self) -> bool:
        """Whether this gateway is on its way out."""
        return self._draining

    def publish(self, snapshot: Snapshot) -> None:
        """Put a new snapshot in force. May be called from any thread."""
        self._snapshot = snapshot

    def drain(self) -> None:
        """Say 'not ready' from now on, while requests are still answered."""
        self._draining = True

    def grant(self, secret: bytes) -> Grant | None:
        """What a presented key stands for; None for one that is not in force."""
        return self._snapshot.grant(self._hash_key(secret), self._clock.now())

    def routes(self, grant: Grant) -> list[Route]:
        """The routes that the key may call, by name."""
        mine = (r for (tenant, _), r in self._snapshot.routes.items() if tenant == grant.tenant_id)
        return sorted(mine, key=lambda route: route.wanted.name)

    def route(self, grant: Grant, name: str, version: str | None = None) -> Route:
        """The route that a request names.

        Raises:
            NotFound: no such deployment for this tenant, or it serves another version.
            Unavailable: it does not serve, or not yet.
        """
        route = self._snapshot.route(grant.tenant_id, name)
        if version is not None and version != str(route.wanted.version):
            raise NotFound(
                f"deployment '{name[:80]}' serves version {route.wanted.version}, "
                f"not '{version[:20]}'"
            )
        return route

    async def infer(
        self, route: Route, inputs: Mapping[str, Tensor]
    ) -> tuple[int, dict[str, Tensor]]:
        """Check the inputs and run the model; returns the number of rows and the outputs.

        Raises:
            Invalid: the inputs are not what the signature asks for.
        """
        rows = route.wanted.signature.check(inputs)
        if rows <= route.inline_rows:
            return rows, route.runtime.infer(inputs)
        loop = asyncio.get_running_loop()
        return rows, await loop.run_in_executor(self._pool, route.runtime.infer, inputs)

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
