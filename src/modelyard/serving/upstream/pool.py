"""The targets that one model stands for: which is asked first, which next, and which again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from modelyard.core.errors import ModelyardError, Unavailable
from modelyard.serving.upstream.budget import RetryBudget
from modelyard.serving.upstream.failures import AGAIN, Kind, UpstreamFailed
from modelyard.serving.upstream.target import Target

RETRIES: Final = 2
"""Attempts beyond one at each target."""
FIRST_WAIT: Final = 0.1
"""Seconds before the first of them, less a bit of chance; the next waits for twice as long."""
REST: Final = 1.0
"""Seconds for which a target rests that takes no more requests and does not say how long."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Pool:
    """Asks targets until one answers. Lives on one event loop."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._budget = RetryBudget()
        # No secret hangs on who is asked first.
        self._random = random.Random()  # noqa: S311

    async def pursue(
        self, attempt: Callable[[Target], Awaitable[T]], until: float
    ) -> tuple[Target, T]:
        """The first answer. `attempt` raises UpstreamFailed as long as nothing of an answer was
        given away: then the next target is asked, and when none is left and time is until `until`
        (the event loop's), one of them again, as far as the budget goes.

        Raises:
            ModelyardError: the request is at fault, or none of them answers.
        """
        now = asyncio.get_running_loop().time
        self._budget.asked()
        last: tuple[Target, UpstreamFailed] | None = None
        for target in self._ready(now()):
            try:
                return target, await self._try(target, attempt, again=last is not None)
            except UpstreamFailed as failure:
                last = target, failure
        for number in range(RETRIES):
            if last is not None and last[1].kind not in AGAIN:
                break
            wait = self._wait(number, now())
            if now() + wait >= until or not self._budget.take():
                break
            await asyncio.sleep(wait)
            for target in self._ready(now())[:1]:
                try:
                    return target, await self._try(target, attempt, again=True)
                except UpstreamFailed as failure:
                    last = target, failure
        raise self._told(last, now())

    async def _try(
        self, target: Target, attempt: Callable[[Target], Awaitable[T]], *, again: bool
    ) -> T:
        now = asyncio.get_running_loop().time
        began = now()
        target.health.asked()
        if again:
            target.meter.again()
        try:
            answer = await attempt(target)
        except UpstreamFailed as failure:
            self.failed(target, failure)
            raise
        except ModelyardError:
            target.health.answered()
            target.meter.refused()
            raise
        except BaseException:
            target.health.let_be()
            raise
        target.health.answered()
        target.meter.answered(now() - began)
        return answer

    def failed(self, target: Target, failure: UpstreamFailed) -> None:
        """Remember that the target has failed, in an attempt or in the middle of an answer."""
        now = asyncio.get_running_loop().time()
        if failure.kind is Kind.LIMITED:
            target.health.rest(now + (REST if failure.retry_after is None else failure.retry_after))
        else:
            target.health.failed(now)
            if failure.retry_after is not None:
                target.health.rest(now + failure.retry_after)
        target.meter.failed(failure.kind)
        _log.warning(
            "upstream failed",
            extra={
                "provider": target.provider.name,
                "upstream": target.upstream.model,
                "kind": failure.kind.value,
                "detail": failure.detail,
            },
        )

    def _ready(self, now: float) -> list[Target]:
        """Those that may be asked, in order; of the same order, chance decides by weight (after
        Efraimidis and Spirakis, 2006).
        """
        ready = [target for target in self._targets if target.health.is_ready(now)]
        return sorted(ready, key=lambda one: (one.upstream.order, -self._draw(one)))

    def _draw(self, target: Target) -> float:
        drawn: float = self._random.random() ** (1 / target.upstream.weight)
        return drawn

    def _wait(self, number: int, now: float) -> float:
        """Seconds until somebody may be asked again."""
        backoff: float = FIRST_WAIT * 2**number * self._random.uniform(0.5, 1.0)
        soonest = min(target.health.ready_at for target in self._targets)
        return max(backoff, soonest - now)

    def _told(self, last: tuple[Target, UpstreamFailed] | None, now: float) -> ModelyardError:
        if last is not None:
            target, failure = last
            return failure.told(target.provider.name)
        soonest = min(target.health.ready_at for target in self._targets)
        seconds = max(1, round(soonest - now))
        return Unavailable("no provider of this model answers at the moment", retry_after=seconds)
