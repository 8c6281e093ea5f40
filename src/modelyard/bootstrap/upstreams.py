"""The HTTP client towards providers: made when the first of them is to be asked."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from modelyard.core.errors import NotInstalled

if TYPE_CHECKING:
    from modelyard.adapters.upstream.http import AiohttpCalls


class UpstreamClient:
    """One for the whole gateway. `allow` are ranges of addresses beside those of the internet."""

    def __init__(self, allow: str) -> None:
        self._allow = allow
        self._lock = threading.Lock()
        self._calls: AiohttpCalls | None = None

    def get(self) -> AiohttpCalls:
        """The client. From any thread, though what it gives lives on the event loop.

        Raises:
            NotInstalled: its library is missing.
        """
        with self._lock:
            if self._calls is None:
                self._calls = self._made()
            return self._calls

    async def close(self) -> None:
        """Close its connections. On the event loop."""
        if self._calls is not None:
            await self._calls.close()

    def _made(self) -> AiohttpCalls:
        from modelyard.adapters.upstream.addresses import AddressRules

        try:
            from modelyard.adapters.upstream.http import AiohttpCalls
        except ModuleNotFoundError as error:
            raise NotInstalled(
                f"asking providers needs '{error.name}', which is not installed: "
                "pip install 'modelyard[providers]'"
            ) from None
        return AiohttpCalls(AddressRules.parse(self._allow))
