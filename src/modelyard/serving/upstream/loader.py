"""Makes ready the models that run at providers': there is nothing to load but their description."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from modelyard.core.errors import ModelyardError
from modelyard.core.ports import Blobs, Sealer
from modelyard.core.secret import Secret
from modelyard.serving.ports import Loaded, RouteKey, WantedProvider, WantedRoute
from modelyard.serving.upstream.counts import UpstreamCounters, UpstreamSeries
from modelyard.serving.upstream.description import Upstream, read_description
from modelyard.serving.upstream.model import UpstreamEmbedder, UpstreamWriter
from modelyard.serving.upstream.ports import HttpCalls
from modelyard.serving.upstream.target import Target

_log: Final = logging.getLogger(__name__)


class UpstreamLoader:
    """A `RuntimeLoader`. `client` gives the HTTP client, and may raise NotInstalled.

    What is loaded holds its keys opened, for as long as it is asked: a provider that is changed or
    deleted changes the route, and with it what is loaded.
    """

    def __init__(
        self,
        blobs: Blobs,
        sealer: Sealer,
        client: Callable[[], HttpCalls],
        counters: UpstreamCounters,
        most_bytes: int,
    ) -> None:
        self._blobs = blobs
        self._sealer = sealer
        self._client = client
        self._counters = counters
        self._most_bytes = most_bytes

    def load(self, wanted: WantedRoute) -> Future[Loaded]:
        """Make it ready, at once."""
        future: Future[Loaded] = Future()
        try:
            future.set_result(self._made(wanted))
        except ModelyardError as error:
            future.set_exception(error)
        return future

    def release(self, key: RouteKey) -> None:
        """It goes with its last request."""

    def close(self) -> None:
        """What is under way ends with its requests."""

    def _made(self, wanted: WantedRoute) -> UpstreamWriter | UpstreamEmbedder:
        artifact = wanted.artifacts[0]
        told = read_description(self._blobs.get(artifact.digest))
        providers = {provider.name: provider for provider in wanted.providers}
        targets = [
            self._target(wanted.tenant_id, upstream, providers[upstream.provider])
            for upstream in told.upstreams
            if upstream.provider in providers
        ]
        missing = [one.provider for one in told.upstreams if one.provider not in providers]
        if missing:
            about = {"deployment": wanted.name, "providers": missing}
            _log.warning("a model stands for providers that are not there", extra=about)
        kind = UpstreamEmbedder if told.embeds else UpstreamWriter
        return kind(told, targets, missing, self._client(), self._most_bytes)

    def _target(self, tenant_id: str, upstream: Upstream, provider: WantedProvider) -> Target:
        key: Secret | None = None
        if provider.sealed:
            key = self._sealer.open(provider.sealed, tenant_id, provider.id)
        series = UpstreamSeries(tenant_id, provider.name, upstream.model)
        return Target(upstream, provider, key, self._counters.of(series))
