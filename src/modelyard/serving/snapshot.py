"""What a gateway knows at this moment: keys in force and routes that serve.

A snapshot never changes; the follower puts a new one in its place. A request that began on one
goes on with it to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from modelyard.core.errors import NotFound, Unavailable
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.serving.cache import ResponseCache
from modelyard.serving.limits.charges import Rates
from modelyard.serving.limits.quota import WantedQuota
from modelyard.serving.ports import KeyEntry, Loaded, Runtime, WantedRoute
from modelyard.serving.slots import RouteMetrics

MAX_RECOGNISED: Final = 10_000


class Route(msgspec.Struct, frozen=True):
    """A deployment that serves. `specs` holds the signature's inputs by name, `datatype` is
    theirs where they share one.

    Requests of up to `inline_rows` rows are cheap enough to be answered on the event loop, by
    `inline`, which is None for a model that is not in this process.
    """

    wanted: WantedRoute
    runtime: Loaded
    inline: Runtime | None
    inline_rows: int
    metrics: RouteMetrics
    specs: Mapping[str, TensorSpec]
    datatype: Datatype | None
    cache: ResponseCache | None = None

    @classmethod
    def of(
        cls, wanted: WantedRoute, runtime: Loaded, inline_rows: int, metrics: RouteMetrics
    ) -> Route:
        """The route of a loaded version."""
        specs = {spec.name: spec for spec in wanted.signature.inputs}
        kept, cache = wanted.options.cache, None
        if kept is not None:
            identity = (wanted.tenant_id, wanted.deployment_id, wanted.version_id)
            cache = ResponseCache(identity, kept)
        inline = runtime if isinstance(runtime, Runtime) else None
        datatypes = {spec.datatype for spec in wanted.signature.inputs}
        datatype = datatypes.pop() if len(datatypes) == 1 else None
        return cls(wanted, runtime, inline, inline_rows, metrics, specs, datatype, cache)

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.wanted.signature


class Snapshot(msgspec.Struct, frozen=True):
    """Keys by hash; routes by tenant and name.

    `failures` tells why a route is not there; of those in `loading` it is not known yet.
    `recognised` holds keys that were presented before, so that they need not be hashed again; it
    goes with the snapshot, and so does a key that was revoked.
    """

    revision: int = -1
    keys: Mapping[bytes, KeyEntry] = {}
    routes: Mapping[tuple[str, str], Route] = {}
    failures: Mapping[tuple[str, str], str] = {}
    loading: frozenset[tuple[str, str]] = frozenset()
    recognised: dict[bytes, KeyEntry] = {}
    quotas: Sequence[WantedQuota] = ()
    rates: Mapping[str, Sequence[Rates]] = {}

    def key(self, secret: bytes, hash_key: Callable[[bytes], bytes]) -> KeyEntry | None:
        """What is known of a presented key.

        Raises:
            Unavailable: the keys are not known yet.
        """
        entry = self.recognised.get(secret)
        if entry is None:
            if self.revision < 0:
                raise Unavailable("the server is starting", retry_after=1)
            entry = self.keys.get(hash_key(secret))
            if entry is not None and len(self.recognised) < MAX_RECOGNISED:
                self.recognised[secret] = entry
        return entry

    def missing(self, tenant_id: str) -> dict[str, str | None]:
        """The tenant's deployments that do not serve, and why; None of those that load."""
        why: dict[str, str | None] = {
            name: reason for (tenant, name), reason in self.failures.items() if tenant == tenant_id
        }
        return why | {name: None for tenant, name in self.loading if tenant == tenant_id}

    def route(self, tenant_id: str, name: str) -> Route:
        """The tenant's deployment of this name.

        Raises:
            NotFound: there is none.
            Unavailable: it does not serve, or not yet; says why.
        """
        at = (tenant_id, name)
        route = self.routes.get(at)
        if route is not None:
            return route
        if at in self.loading:
            raise Unavailable(f"deployment '{name}' is loading", retry_after=1)
        if at in self.failures:
            reason = self.failures[at]
            raise Unavailable(f"deployment '{name}' does not serve: {reason}", retry_after=15)
        raise NotFound(f"there is no deployment '{name[:80]}'")
