"""Providers: use cases."""

from __future__ import annotations

from msgspec.structs import replace

from modelyard.core import ids
from modelyard.core.clock import Clock
from modelyard.core.errors import Invalid
from modelyard.core.names import check_name
from modelyard.core.pages import Page, PageRequest
from modelyard.core.ports import Sealer, Store
from modelyard.core.secret import Secret
from modelyard.registry.ports import Prober, ProviderTransaction
from modelyard.registry.provider import (
    Probe,
    Provider,
    ProviderSpec,
    checked,
    checked_key,
)


class ProviderService:
    """Keeps providers, and their keys sealed for the tenant and the provider alone."""

    def __init__(
        self, store: Store[ProviderTransaction], clock: Clock, sealer: Sealer, prober: Prober
    ) -> None:
        self._store = store
        self._clock = clock
        self._sealer = sealer
        self._prober = prober

    def put(
        self, tenant_id: str, name: str, spec: ProviderSpec, key: Secret | None
    ) -> tuple[Provider, bool]:
        """Make the provider, or change it; True when it is new. Without a key it keeps the one
        that it has. An empty one takes it away.

        Raises:
            Invalid: a bad name, URL, header or key; or the provider is to be elsewhere and its
                key was not given again: whoever may change it is not thereby shown the key.
        """
        check_name("provider", name)
        spec, now = checked(spec), self._clock.now()
        if key is not None and key.reveal():
            checked_key(key)
        with self._store.begin() as tx:
            providers = tx.providers(tenant_id)
            present = providers.find(name)
            provider = present or Provider(ids.new_id(ids.PROVIDER), name, spec, b"", now, now)
            sealed = provider.sealed
            if key is not None:
                about = (tenant_id, provider.id)
                sealed = self._sealer.seal(key, *about) if key.reveal() else b""
            elif sealed and spec.base_url != provider.spec.base_url:
                raise Invalid(
                    f"provider '{name}' is to be asked at another address: give its key again"
                )
            provider = replace(provider, spec=spec, sealed=sealed, updated_at=now)
            providers.put(provider)
            tx.bump()
            return provider, present is None

    def get(self, tenant_id: str, name: str) -> Provider:
        """Raises NotFound."""
        with self._store.read() as tx:
            return tx.providers(tenant_id).get(name)

    def list(self, tenant_id: str, page: PageRequest) -> Page[Provider]:
        """By name."""
        with self._store.read() as tx:
            return tx.providers(tenant_id).list(page)

    def delete(self, tenant_id: str, name: str) -> None:
        """Forget it and its key; models that stand for it alone answer no more. Raises NotFound."""
        with self._store.begin() as tx:
            tx.providers(tenant_id).delete(name)
            tx.bump()

    def opened(self, tenant_id: str, name: str) -> tuple[Provider, Secret | None]:
        """The provider with its key, to be asked.

        Raises:
            NotFound: there is none.
            Conflict: its key cannot be opened.
        """
        provider = self.get(tenant_id, name)
        if not provider.sealed:
            return provider, None
        return provider, self._sealer.open(provider.sealed, tenant_id, provider.id)

    async def probe(self, provider: Provider, key: Secret | None) -> Probe:
        """Ask it for its models, as it would be asked for answers."""
        return await self._prober.probe(provider.spec, key)
