"""One model of one provider, with what it takes to ask it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from modelyard.core.secret import Secret
from modelyard.serving.ports import WantedProvider
from modelyard.serving.upstream.counts import Meter
from modelyard.serving.upstream.description import Upstream
from modelyard.serving.upstream.health import Health
from modelyard.serving.upstream.ports import HttpCall


class Target:
    """An upstream whose provider is there. Lives on one event loop."""

    def __init__(
        self, upstream: Upstream, provider: WantedProvider, key: Secret | None, meter: Meter
    ) -> None:
        self.upstream = upstream
        self.provider = provider
        self.meter = meter
        self.health = Health()
        self._key = key

    def call(
        self, path: str, fields: Mapping[str, Any], headers: Mapping[bytes, bytes] | None = None
    ) -> HttpCall:
        """The request that asks it. Of `headers` those are passed on that its owner has named."""
        sent = {"content-type": "application/json"}
        for name in self.provider.forward_headers:
            value = (headers or {}).get(name.encode())
            if value is not None:
                sent[name] = value.decode("latin-1")
        if self._key is not None:
            sent["authorization"] = f"Bearer {self._key.reveal()}"
        return HttpCall(
            "POST",
            f"{self.provider.base_url}{path}",
            sent,
            msgspec.json.encode({**fields, "model": self.upstream.model}),
            self.provider.timeouts,
        )
