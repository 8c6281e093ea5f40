"""A gateway whose models run at a scripted provider's, over real HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from modelyard.adapters.secrets.sealing import AesGcmSealer
from modelyard.adapters.upstream.addresses import AddressRules
from modelyard.adapters.upstream.http import AiohttpCalls
from modelyard.core.http_timeouts import HttpTimeouts
from modelyard.core.secret import Secret
from modelyard.serving.options import ServingOptions
from modelyard.serving.ports import WantedArtifact, WantedProvider, WantedRoute
from modelyard.serving.slots import Series
from modelyard.serving.snapshot import Route
from modelyard.serving.upstream.counts import UpstreamCounters, read_upstreams
from modelyard.serving.upstream.description import read_description
from modelyard.serving.upstream.loader import UpstreamLoader
from tests.dataplane import TENANT, Answer, Gateway, MemoryBlobs, call
from tests.upstreams import KEY, Upstream

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}
SHORT = HttpTimeouts(connect_seconds=10.0, first_byte_seconds=0.3, between_seconds=0.3)


class AskingGateway(Gateway):
    """A gateway with the key `k`, and models that stand for the provider's."""

    def __init__(self, folder: Path, upstream: Upstream, **options: Any) -> None:
        super().__init__(folder)
        self.key("k")
        self.folder = folder
        self.upstream = upstream
        self.sealer = AesGcmSealer(b"s" * 32)
        self.calls = AiohttpCalls(AddressRules.parse("127.0.0.0/8"))
        self.counters = UpstreamCounters(folder, "gwy_1")
        self.most_bytes = 4 << 20
        self._closed = False
        self.options = ServingOptions(**options)

    def provider(self, name: str = "up", url: str = "", **more: Any) -> WantedProvider:
        sealed = self.sealer.seal(Secret(KEY), TENANT, f"prv_{name}")
        return WantedProvider(f"prv_{name}", name, url or self.upstream.url, sealed, **more)

    def link(
        self,
        *upstreams: dict[str, Any] | str,
        name: str = "gpt",
        providers: tuple[WantedProvider, ...] = (),
        **more: Any,
    ) -> Any:
        """Serve a model under this name that stands for others; a text is a model of `up`."""
        told = [{"provider": "up", "model": u} if isinstance(u, str) else u for u in upstreams]
        data = msgspec.json.encode({"upstreams": told, **more})
        blobs = MemoryBlobs()
        artifact = WantedArtifact("model", "upstreams.json", "upstream", blobs.add(data), len(data))
        wanted = WantedRoute(
            "dep_1",
            TENANT,
            name,
            name,
            1,
            f"ver_{name}",
            read_description(data).signature,
            (artifact,),
            options=self.options,
            providers=providers or (self.provider(),),
        )
        loader = UpstreamLoader(
            blobs,  # type: ignore[arg-type] # what the loader needs of them
            self.sealer,
            lambda: self.calls,
            self.counters,
            self.most_bytes,
        )
        model = loader.load(wanted).result()
        metrics = self.metrics.route(Series(TENANT, name, name, 1))
        self._routes[TENANT, name] = Route.of(wanted, model, 0, metrics)
        self.publish()
        return model

    async def ask(self, path: str = CHAT, **more: Any) -> Answer:
        return await call(self.front, "POST", path, {**HELLO, **more}, key="k")

    def counted(self) -> dict[str, int]:
        """Attempts by upstream and outcome."""
        self.counters.write()
        return {
            f"{each.series.upstream} {how}": count
            for each in read_upstreams(self.folder)
            for how, count in each.ends.items()
        }

    async def close(self) -> None:
        """Once is enough, though the fixture does it again."""
        if not self._closed:
            self._closed = True
            await self.calls.close()
            await super().close()
