"""How a key's quotas are told with an answer.

`RateLimit-Policy` and `RateLimit` are those of draft-ietf-httpapi-ratelimit-headers-10; on OpenAI's
routes there are also the headers that its clients know. Budgets of money are nobody's but the
tenant's to know, and are not told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from modelyard.api.http import HeaderList
from modelyard.core.quotas import Measure, Period
from modelyard.serving.limits.line import Standing
from modelyard.serving.limits.quota import WantedQuota

MAX_KNOWN: Final = 10_000
"""Quotas whose words are kept."""

_WINDOWS: Final[Mapping[Period, int]] = {Period.MINUTE: 60, Period.DAY: 86_400}
_UNITS: Final[Mapping[Measure, str]] = {
    Measure.ROWS: ';qu="rows"',
    Measure.TOKENS: ';qu="tokens"',
    Measure.CONCURRENCY: ';qu="concurrent-requests"',
}


class _Words(NamedTuple):
    """What is the same of a quota in every answer. Without a name, it is not told."""

    quota: WantedQuota
    name: str
    policy: str

    @classmethod
    def of(cls, quota: WantedQuota) -> _Words:
        if quota.measure is Measure.MONEY:
            return cls(quota, "", "")
        name = f'"{_whose(quota)}-{quota.measure}-{quota.period}"'
        window = _WINDOWS.get(quota.period)
        policy = f"{name};q={quota.amount}{_UNITS.get(quota.measure, '')}"
        return cls(quota, name, policy + (f";w={window}" if window else ""))


class LimitHeaders:
    """Writes the headers of one edge. What does not change from answer to answer is kept."""

    def __init__(self) -> None:
        self._known: dict[str, _Words] = {}

    def standard(self, standings: Sequence[Standing]) -> HeaderList:
        """`RateLimit-Policy` and `RateLimit`; none for a key without quotas.

        Of two quotas of one name, which are the tenant's and the operator's, that is told which
        has less left: no name may come twice.
        """
        found: dict[str, tuple[_Words, int, float]] = {}
        known = self._known
        for quota, left, resets in standings:
            words = known.get(quota.id)
            if words is None or words.quota is not quota:
                words = self._learn(quota)
            name = words.name
            if name and (name not in found or left < found[name][1]):
                found[name] = words, left, resets
        if not found:
            return []
        states = [
            f"{words.name};r={left};t={math.ceil(resets)}"
            if resets < math.inf
            else f"{words.name};r={left}"
            for words, left, resets in found.values()
        ]
        policies = [words.policy for words, _, _ in found.values()]
        return [
            (b"ratelimit-policy", ", ".join(policies).encode()),
            (b"ratelimit", ", ".join(states).encode()),
        ]

    def _learn(self, quota: WantedQuota) -> _Words:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[quota.id] = words = _Words.of(quota)
        return words


def told_openai_limits(standings: Sequence[Standing]) -> HeaderList:
    """The same in OpenAI's words, of what is counted by the minute."""
    headers: HeaderList = []
    for measure in (Measure.REQUESTS, Measure.TOKENS):
        mine = [
            each
            for each in standings
            if each.quota.measure is measure and each.quota.period is Period.MINUTE
        ]
        if mine:
            quota, left, resets = min(mine, key=lambda each: each.left)
            unit = measure.value.encode()
            headers += [
                (b"x-ratelimit-limit-" + unit, b"%d" % quota.amount),
                (b"x-ratelimit-remaining-" + unit, b"%d" % left),
                (b"x-ratelimit-reset-" + unit, b"%.3fs" % resets),
            ]
    return headers


def _whose(quota: WantedQuota) -> str:
    if quota.deployment:
        return "caller" if quota.each_caller else "deployment"
    return "tenant" if quota.key_id is None else "key"
