"""All gateways' numbers in the Prometheus text format (version 0.0.4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.quotas import Measure, money
from modelyard.serving.limits.counts import BudgetCount, read_budgets
from modelyard.serving.metrics import read_counted
from modelyard.serving.replica.counts import ReplicaCounts, read_counts
from modelyard.serving.slots import (
    BEGUN,
    BUCKETS,
    CACHED,
    CLASSES,
    CODES,
    DURATION,
    FIRST,
    FIRST_TOKENS,
    HITS,
    INFERENCE,
    INPUT,
    MISSES,
    NEXT,
    NEXT_TOKENS,
    OUTPUT,
    QUEUED,
    SIZE,
    SIZES,
    TIME_WIDTH,
    WIDTH,
    Series,
)
from modelyard.serving.upstream.counts import UpstreamCounts, read_upstreams


def render(folder: Path, tenant_id: str | None) -> str:
    """The numbers of one tenant's deployments; or of all, and of the processes too."""
    totals: defaultdict[Series, list[int]] = defaultdict(lambda: [0] * WIDTH)
    lines: list[str] = []
    for gateway in read_counted(folder):
        if gateway.alive and tenant_id is None:
            labels = {"gateway": gateway.gateway}
            lines.append(_sample("process_resident_bytes", labels, gateway.resident))
        for series, row in gateway.rows:
            if tenant_id not in (None, series.tenant_id):
                continue
            if not gateway.alive:
                # What a gateway had in its hands when it died is in nobody's now.
                row[BEGUN] = sum(row[:DURATION])
            totals[series] = [a + b for a, b in zip(totals[series], row, strict=True)]
    rows = sorted(totals.items(), key=lambda item: msgspec.structs.astuple(item[0]))
    for name, kind, about, samples in _FAMILIES:
        lines += _family(name, kind, about)
        for series, total in rows:
            lines += samples(name, series, total)
    if tenant_id is None:
        lines = [*_family(*_RESIDENT), *lines]
    lines += _replicas(folder, tenant_id)
    lines += _upstreams(folder, tenant_id)
    lines += _budgets(folder, tenant_id)
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, about: str) -> Iterator[str]:
    yield f"# HELP modelyard_{name} {about}"
    yield f"# TYPE modelyard_{name} {kind}"


def _sample(name: str, labels: Mapping[str, str], value: float | str) -> str:
    # Names are checked where they are given: nothing in them needs escaping.
    pairs = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"modelyard_{name}{{{pairs}}} {value}"


def _labels(series: Series) -> dict[str, str]:
    return {
        "tenant": series.tenant_id,
        "deployment": series.deployment,
        "model": series.model,
        "version": str(series.version),
    }


def _replicas(folder: Path, tenant_id: str | None) -> Iterator[str]:
    """What the runtime host has counted."""
    counts = read_counts(folder)
    if counts is None:
        return
    if tenant_id is None:
        yield from _family("replica_memory_budget_bytes", "gauge", "What replicas may take.")
        yield _sample("replica_memory_budget_bytes", {}, counts.budget_bytes)
    rows = [row for row in counts.rows if tenant_id in (None, row.series.tenant_id)]
    for name, kind, about, samples in _REPLICA_FAMILIES:
        yield from _family(name, kind, about)
        for row in rows:
            yield from samples(name, _labels(row.series), row)


def _upstreams(folder: Path, tenant_id: str | None) -> Iterator[str]:
    """What all gateways have counted of the providers' models that they have asked."""
    rows = [row for row in read_upstreams(folder) if tenant_id in (None, row.series.tenant_id)]
    for name, kind, about, samples in _UPSTREAM_FAMILIES:
        yield from _family(name, kind, about)
        for row in rows:
            labels = {
                "tenant": row.series.tenant_id,
                "provider": row.series.provider,
                "upstream": _escaped(row.series.upstream),
            }
            yield from samples(name, labels, row)


def _budgets(folder: Path, tenant_id: str | None) -> Iterator[str]:
    """What the ledger has of budgets."""
    rows = [row for row in read_budgets(folder) if tenant_id in (None, row.tenant_id)]
    for name, kind, about, number in _BUDGET_FAMILIES:
        yield from _family(name, kind, about)
        for row in rows:
            labels = {
                "tenant": row.tenant_id,
                "key": row.key_id,
                "quota": row.quota_id,
                "measure": row.measure.value,
                "period": row.period.value,
                "kind": "strict" if row.strict else "soft",
            }
            yield _sample(name, labels, number(row))


def _of_budget(row: BudgetCount, amount: int) -> str:
    """In its unit: of money, the currency."""
    return f"{money(amount):f}" if row.measure is Measure.MONEY else str(amount)


def _attempts(name: str, labels: dict[str, str], row: UpstreamCounts) -> Iterator[str]:
    for outcome, count in sorted(row.ends.items()):
        yield _sample(name, {**labels, "outcome": outcome}, count)


def _retries(name: str, labels: dict[str, str], row: UpstreamCounts) -> Iterator[str]:
    yield _sample(name, labels, row.retries)


def _waits(name: str, labels: dict[str, str], row: UpstreamCounts) -> Iterator[str]:
    return _buckets(name, labels, [*row.slow, round(row.seconds * 1e6)], BUCKETS, 1000)


def _escaped(text: str) -> str:
    """A name that somebody else has given."""
    return text.replace("\\", r"\\").replace('"', r"\"")


def _states(name: str, labels: dict[str, str], row: ReplicaCounts) -> Iterator[str]:
    for state, count in row.states.items():
        yield _sample(name, {**labels, "state": state}, count)


def _memory(name: str, labels: dict[str, str], row: ReplicaCounts) -> Iterator[str]:
    yield _sample(name, labels, row.memory_bytes)


def _starts(name: str, labels: dict[str, str], row: ReplicaCounts) -> Iterator[str]:
    yield _sample(f"{name}_sum", labels, f"{row.start_seconds:.6f}")
    yield _sample(f"{name}_count", labels, row.starts)


def _ends(name: str, labels: dict[str, str], row: ReplicaCounts) -> Iterator[str]:
    for cause, count in row.ends.items():
        yield _sample(name, {**labels, "cause": cause}, count)


def _requests(name: str, series: Series, total: list[int]) -> Iterator[str]:
    codes = [str(code) for code in CODES] + list(CLASSES)
    for code, value in zip(codes, total, strict=False):
        if value:
            yield _sample(name, {**_labels(series), "code": code}, value)


def _in_flight(name: str, series: Series, total: list[int]) -> Iterator[str]:
    # The slots are read while they are written to: an answer may be seen before its beginning.
    yield _sample(name, _labels(series), max(total[BEGUN] - sum(total[:DURATION]), 0))


def _count(slot: int) -> Callable[[str, Series, list[int]], Iterator[str]]:
    def samples(name: str, series: Series, total: list[int]) -> Iterator[str]:
        if total[slot]:
            yield _sample(name, _labels(series), total[slot])

    return samples


def _histogram(
    name: str, series: Series, slots: list[int], bounds: Sequence[float], unit: float
) -> Iterator[str]:
    return _buckets(name, _labels(series), slots, bounds, unit)


def _buckets(
    name: str, labels: dict[str, str], slots: list[int], bounds: Sequence[float], unit: float
) -> Iterator[str]:
    """`slots` as buckets and their sum; bounds and sum are in parts of `unit`."""
    seen = 0
    for bound, value in zip([*bounds, None], slots, strict=False):
        seen += value
        le = "+Inf" if bound is None else f"{bound / unit:g}"
        yield _sample(f"{name}_bucket", {**labels, "le": le}, seen)
    total = slots[-1] if unit == 1 else f"{slots[-1] / 1e6:.6f}"
    yield _sample(f"{name}_sum", labels, total)
    yield _sample(f"{name}_count", labels, seen)


def _tokens(name: str, series: Series, total: list[int]) -> Iterator[str]:
    for kind, slot in (("input", INPUT), ("cached", CACHED), ("output", OUTPUT)):
        if total[slot]:
            yield _sample(name, {**_labels(series), "kind": kind}, total[slot])


def _token_times(
    at: int, bounds: Sequence[float]
) -> Callable[[str, Series, list[int]], Iterator[str]]:
    def samples(name: str, series: Series, total: list[int]) -> Iterator[str]:
        slots = total[at : at + len(bounds) + 2]
        # Most models have no tokens.
        return _histogram(name, series, slots, bounds, 1000) if any(slots) else iter(())

    return samples


def _times(at: int) -> Callable[[str, Series, list[int]], Iterator[str]]:
    def samples(name: str, series: Series, total: list[int]) -> Iterator[str]:
        return _histogram(name, series, total[at : at + TIME_WIDTH], BUCKETS, 1000)

    return samples


def _sizes(name: str, series: Series, total: list[int]) -> Iterator[str]:
    return _histogram(name, series, total[SIZE:BEGUN], SIZES, 1)


_RESIDENT: Final = ("process_resident_bytes", "gauge", "Memory that a gateway process holds.")
_FAMILIES: Final = (
    ("requests_total", "counter", "Inference requests answered, by HTTP status.", _requests),
    (
        "request_duration_seconds",
        "histogram",
        "Time from a request's head to its answer.",
        _times(DURATION),
    ),
    (
        "queue_duration_seconds",
        "histogram",
        "Time that a request waited for the model.",
        _times(QUEUED),
    ),
    (
        "inference_duration_seconds",
        "histogram",
        "Time of one call of the model.",
        _times(INFERENCE),
    ),
    ("batch_rows", "histogram", "Rows in one call of the model.", _sizes),
    (
        "time_to_first_token_seconds",
        "histogram",
        "Time from a request to the first token of an answer.",
        _token_times(FIRST, FIRST_TOKENS),
    ),
    (
        "inter_token_latency_seconds",
        "histogram",
        "Time between a token and the next.",
        _token_times(NEXT, NEXT_TOKENS),
    ),
    ("tokens_total", "counter", "Tokens that were charged for, by kind.", _tokens),
    ("requests_in_flight", "gauge", "Requests that are being answered.", _in_flight),
    ("cache_hits_total", "counter", "Requests answered from the response cache.", _count(HITS)),
    (
        "cache_misses_total",
        "counter",
        "Requests that the response cache had no answer to.",
        _count(MISSES),
    ),
)
_BUDGET_FAMILIES: Final[Sequence[tuple[str, str, str, Callable[[BudgetCount], str]]]] = (
    (
        "budget_spent",
        "gauge",
        "What the ledger has of a budget's present period, in the unit of its measure.",
        lambda row: _of_budget(row, row.spent),
    ),
    (
        "budget_amount",
        "gauge",
        "What may be spent of it.",
        lambda row: _of_budget(row, row.amount),
    ),
    (
        "budget_alert",
        "gauge",
        "What was told of it: 0 nothing, 1 that it is nearly spent, 2 that it is spent.",
        lambda row: str(row.alert),
    ),
)
_REPLICA_FAMILIES: Final = (
    ("replicas", "gauge", "Replicas in processes of their own, by state.", _states),
    ("replica_memory_bytes", "gauge", "Memory that replicas hold.", _memory),
    ("replica_start_duration_seconds", "summary", "Time from a start until it serves.", _starts),
    ("replica_ends_total", "counter", "Replicas that are no more, by cause.", _ends),
)
_UPSTREAM_FAMILIES: Final = (
    (
        "upstream_requests_total",
        "counter",
        "Attempts at a provider's model, by how they ended.",
        _attempts,
    ),
    (
        "upstream_retries_total",
        "counter",
        "Attempts that were not a request's first.",
        _retries,
    ),
    (
        "upstream_first_byte_duration_seconds",
        "histogram",
        "Time until an answer began.",
        _waits,
    ),
)
