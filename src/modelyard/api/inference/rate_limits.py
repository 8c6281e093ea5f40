"""How a key's quotas are told with an answer.

`RateLimit-Policy` and `RateLimit` are those of draft-ietf-httpapi-ratelimit-headers-10; on OpenAI's
routes there are also the headers that its clients know. Budgets of money are nobody's but the
tenant's to know, and are not told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from modelyard.api.http import HeaderList
from modelyard.core.quotas import Measure, Period
from modelyard.serving.limits.limits import Standing

_WINDOWS: Final[Mapping[Period, int]] = {Period.MINUTE: 60, Period.DAY: 86_400}
_UNITS: Final[Mapping[Measure, str]] = {
    Measure.ROWS: ';qu="rows"',
    Measure.TOKENS: ';qu="tokens"',
    Measure.CONCURRENCY: ';qu="concurrent-requests"',
}


def told_limits(standings: Iterable[Standing]) -> HeaderList:
    """The standard headers; none for a key without quotas."""
    tightest = _tightest(standings)
    if not tightest:
        return []
    policies, states = [], []
    for name, (quota, left, resets) in tightest.items():
        window = _WINDOWS.get(quota.period)
        policies.append(
            f'"{name}";q={quota.amount}{_UNITS.get(quota.measure, "")}'
            + (f";w={window}" if window else "")
        )
        states.append(
            f'"{name}";r={left}' + (f";t={math.ceil(resets)}" if resets < math.inf else "")
        )
    return [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(states).encode()),
    ]


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


def _tightest(standings: Iterable[Standing]) -> dict[str, Standing]:
    """By name. Of two of one name, which are the tenant's and the operator's, that with less left:
    no name may come twice.
    """
    found: dict[str, Standing] = {}
    for each in standings:
        quota = each.quota
        if quota.measure is not Measure.MONEY:
            whose = "tenant" if quota.key_id is None else "key"
            name = f"{whose}-{quota.measure}-{quota.period}"
            if name not in found or each.left < found[name].left:
                found[name] = each
    return found
