"""The client towards providers is made late, and with the operator's rules."""

import sys

import pytest

from modelyard.adapters.upstream.probe import HttpProber
from modelyard.bootstrap.upstreams import UpstreamClient
from modelyard.core.errors import NotInstalled
from modelyard.core.settings import Settings
from modelyard.registry.provider import ProviderSpec


@pytest.mark.asyncio
async def test_no_neighbour_is_asked_by_default() -> None:
    client = UpstreamClient(Settings().provider_allow)
    assert client.get() is client.get()
    for url in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"):
        probe = await HttpProber(client.get).probe(ProviderSpec(url), None)
        assert probe.reason.startswith("address: ")
    await client.close()


@pytest.mark.asyncio
async def test_without_its_library_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    for name in ("http", "resolver"):
        monkeypatch.delitem(sys.modules, f"modelyard.adapters.upstream.{name}", raising=False)
    client = UpstreamClient("")
    with pytest.raises(NotInstalled, match=r"modelyard\[providers\]"):
        client.get()
    await client.close()
