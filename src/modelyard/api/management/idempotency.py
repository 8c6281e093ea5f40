"""`Idempotency-Key` on every POST: a request that is sent twice happens once.

The claim, the work and the settlement are three transactions. A process killed between the
last two leaves a claim without an answer, which refuses the key (409) until it counts as
abandoned (`core.idempotency.ABANDONED`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any, Final

from modelyard.api.asgi import App, Message, Receive, Scope, Send, respond
from modelyard.api.management.bodies import BODY
from modelyard.api.management.ports import ManagementTransaction
from modelyard.api.management.problems import encoded
from modelyard.api.statuses import PROBLEM_JSON, problem
from modelyard.core.access import Grant
from modelyard.core.clock import Clock
from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.idempotency import StoredAnswer
from modelyard.core.ports import Store

_log = logging.getLogger(__name__)

MAX_KEY: Final = 255
REPLAYED: Final = "idempotent-replayed"
SHOWN_ONCE: Final = "shown_once"
"""The route option for answers that may not be kept: a function from the answer's body to the
error that whoever asks again gets in its place."""

Replacement = Callable[[bytes], ModelyardError]


class Idempotency:
    """Runs after authorization, so that no key gets an answer that it could not have asked for."""

    def __init__(self, app: App, store: Store[ManagementTransaction], clock: Clock) -> None:
        self._app = app
        self._store = store
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = isinstance(scope["auth"], Grant)
        key = _key(scope) if known and scope["method"] == "POST" else None
        if key is None:
            await self._app(scope, receive, send)
            return
        grant: Grant = scope["auth"]
        stored = await asyncio.to_thread(
            self._claim, grant.tenant_id, key, _fingerprint(scope, scope[BODY])
        )
        if stored is None:
            await self._answer(scope, grant.tenant_id, key, receive, send)
        else:
            headers = {REPLAYED: "true"}
            await respond(send, stored.status, stored.body, stored.content_type, headers)

    async def _answer(
        self, scope: Scope, tenant_id: str, key: str, receive: Receive, send: Send
    ) -> None:
        """Do the work, keep the answer, and only then give it: who saw it can ask for it again."""
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        try:
            await self._app(scope, receive, collect)
        except Exception:
            await asyncio.to_thread(self._settle, tenant_id, key, None)
            raise
        answer = _stored(messages)
        if answer.status < 400:
            answer = _without_secret(scope["route_handler"].opt, answer)
        await asyncio.to_thread(self._settle, tenant_id, key, answer)
        for message in messages:
            await send(message)

    def _claim(self, tenant_id: str, key: str, fingerprint: str) -> StoredAnswer | None:
        with self._store.begin() as tx:
            return tx.idempotency(tenant_id).claim(key, fingerprint, self._clock.now())

    def _settle(self, tenant_id: str, key: str, answer: StoredAnswer | None) -> None:
        """Keep the answer, or forget the claim where asking again may help.

        The work is done by now, so a store that fails here must not turn its answer into an error.
        """
        try:
            with self._store.begin() as tx:
                if answer is None or answer.status >= 500:
                    tx.idempotency(tenant_id).drop(key)
                else:
                    tx.idempotency(tenant_id).settle(key, answer)
        except Exception:  # noqa: BLE001 - see above
            _log.exception("an idempotency key could not be settled")


def _key(scope: Scope) -> str | None:
    """Raises Invalid for a key that is no key."""
    values = [value for name, value in scope["headers"] if name == b"idempotency-key"]
    if not values:
        return None
    text: str = values[0].decode("latin-1")
    if (
        len(values) > 1
        or not 1 <= len(text) <= MAX_KEY
        or not (text.isascii() and text.isprintable())
    ):
        raise Invalid(
            f"Idempotency-Key must be one value of 1 to {MAX_KEY} printable ASCII characters"
        )
    return text


def _fingerprint(scope: Scope, body: bytes) -> str:
    """What makes two requests the same. Lengths keep the parts apart."""
    digest = hashlib.sha256()
    path: str = scope["path"]
    for part in (scope["method"].encode(), path.encode(), scope.get("query_string", b""), body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _stored(messages: list[Message]) -> StoredAnswer:
    start = messages[0]
    content_type = next(
        (value.decode() for name, value in start["headers"] if name.lower() == b"content-type"), ""
    )
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return StoredAnswer(start["status"], content_type, body)


def _without_secret(opt: dict[str, Any], answer: StoredAnswer) -> StoredAnswer:
    replacement: Replacement | None = opt.get(SHOWN_ONCE)
    if replacement is None:
        return answer
    told = problem(replacement(answer.body))
    return StoredAnswer(told.status, PROBLEM_JSON, encoded(told))
