"""Metrics: several gateways add up; the text is what Prometheus reads."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.core.quotas import PICO, Measure, Period
from modelyard.serving import metrics as module
from modelyard.serving.exposition import render
from modelyard.serving.limits.counts import BudgetCount, write_budgets
from modelyard.serving.metrics import Metrics
from modelyard.serving.replica.counts import HostCounts, ReplicaCounts, write_counts
from modelyard.serving.slots import BUCKETS, Series

ONE = Series("tnt_1", "churn", "churn", 3)
TWO = Series("tnt_2", "churn", "churn", 3)
LINE = re.compile(r'([a-z_]+)\{((?:[a-z]+="[^"\\]*",?)*)\} ([0-9.]+)')

PROCESS = """
import sys
from pathlib import Path
from modelyard.serving.metrics import Metrics
from modelyard.serving.slots import Series
route = Metrics(Path(sys.argv[1]), sys.argv[2]).route(Series("tnt_1", "churn", "churn", 3))
for _ in range(1000):
    route.observe(200, 700)
    route.observe(404, 3_000)
"""


def parse(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels; a line that is no sample or a duplicate fails."""
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    typed = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            assert any(name.startswith(each) for each in typed), line
            pairs = frozenset(re.findall(r'([a-z]+)="([^"]*)"', labels))
            assert (name, pairs) not in samples, line
            samples[name, pairs] = float(value)
    return samples


def value(text: str, name: str, **labels: str) -> float:
    found = [v for (n, pairs), v in parse(text).items() if n == name and labels.items() <= pairs]
    assert len(found) == 1, (name, labels)
    return found[0]


def test_the_files_of_several_processes_add_up(tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), f"gwy_{number}"])
        for number in range(2)
    ]
    assert [process.wait(30) for process in running] == [0, 0]
    text = render(tmp_path, None)
    assert text.endswith("\n")
    assert value(text, "modelyard_requests_total", code="200") == 2000
    assert value(text, "modelyard_requests_total", code="404") == 2000
    assert value(text, "modelyard_request_duration_seconds_count") == 4000
    assert value(text, "modelyard_request_duration_seconds_sum") == pytest.approx(7.4)
    assert value(text, "modelyard_request_duration_seconds_bucket", le="0.0005") == 0
    assert value(text, "modelyard_request_duration_seconds_bucket", le="0.001") == 2000
    assert value(text, "modelyard_request_duration_seconds_bucket", le="+Inf") == 4000


def test_buckets_are_cumulative_and_bounds_belong_to_them(tmp_path: Path) -> None:
    route = Metrics(tmp_path, "gwy_1").route(ONE)
    for bound in BUCKETS:
        route.observe(200, int(bound * 1000))
    route.observe(200, 10**9)
    text = render(tmp_path, None)
    for seen, bound in enumerate(BUCKETS, 1):
        le = f"{bound / 1000:g}"
        assert value(text, "modelyard_request_duration_seconds_bucket", le=le) == seen
    assert value(text, "modelyard_request_duration_seconds_bucket", le="+Inf") == len(BUCKETS) + 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, "200"), (503, "503"), (418, "4xx"), (302, "3xx"), (599, "5xx"), (100, "1xx")],
)
def test_a_status_without_a_counter_is_counted_as_its_class(
    tmp_path: Path, status: int, code: str
) -> None:
    Metrics(tmp_path, "gwy_1").route(ONE).observe(status, 1)
    assert value(render(tmp_path, None), "modelyard_requests_total", code=code) == 1


def test_a_tenant_sees_its_own_and_the_operator_tells_them_apart(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, "gwy_1")
    metrics.route(ONE).observe(200, 1)
    metrics.route(TWO).observe(200, 1)
    metrics.route(TWO).observe(200, 1)
    assert value(render(tmp_path, "tnt_1"), "modelyard_requests_total") == 1
    assert value(render(tmp_path, "tnt_2"), "modelyard_requests_total") == 2
    assert parse(render(tmp_path, "tnt_3")) == {}
    every = render(tmp_path, None)
    assert value(every, "modelyard_requests_total", tenant="tnt_1") == 1
    assert value(every, "modelyard_requests_total", tenant="tnt_2") == 2


def test_what_does_not_fit_is_counted_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_ROUTES", 2)
    metrics = Metrics(tmp_path, "gwy_1")
    for number in range(4):
        metrics.route(Series("tnt_1", f"d{number}", "m", 1)).observe(200, 1)
    text = render(tmp_path, None)
    assert value(text, "modelyard_requests_total", deployment="d0") == 1
    assert value(text, "modelyard_requests_total", deployment="d1") == 1
    assert "d2" not in text
    assert "d3" not in text


def test_the_same_series_keeps_its_row(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, "gwy_1")
    metrics.route(ONE).observe(200, 1)
    metrics.route(ONE).observe(200, 1)
    assert value(render(tmp_path, None), "modelyard_requests_total") == 2


def test_an_index_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, "gwy_1")
    (tmp_path / "gwy_1.new").mkdir()
    metrics.route(ONE).observe(200, 1)
    (tmp_path / "gwy_1.new").rmdir()
    metrics.route(TWO).observe(200, 1)
    assert value(render(tmp_path, "tnt_1"), "modelyard_requests_total") == 1


def test_all_of_its_room_is_taken_at_the_start(tmp_path: Path) -> None:
    Metrics(tmp_path, "gwy_1")
    taken = (tmp_path / "gwy_1.slots").stat()
    assert taken.st_blocks * 512 >= taken.st_size > 0


def test_no_gateway_yet_is_an_empty_answer(tmp_path: Path) -> None:
    assert parse(render(tmp_path / "missing", None)) == {}


def test_what_the_runtime_host_has_counted_is_shown_to_whom_it_concerns(tmp_path: Path) -> None:
    assert "replica" not in render(tmp_path, None)
    row = ReplicaCounts(ONE, {"ready": 2, "loading": 1}, 3 << 20, 4, 1.5, {"idle": 1, "died": 2})
    write_counts(tmp_path, HostCounts(1 << 30, [row, ReplicaCounts(TWO, {"ready": 5})]))
    text = render(tmp_path, "tnt_1")
    assert value(text, "modelyard_replicas", state="ready") == 2
    assert value(text, "modelyard_replica_memory_bytes", deployment="churn") == 3 << 20
    assert value(text, "modelyard_replica_start_duration_seconds_sum") == 1.5
    assert value(text, "modelyard_replica_start_duration_seconds_count") == 4
    assert value(text, "modelyard_replica_ends_total", cause="died") == 2
    assert "memory_budget" not in text
    text = render(tmp_path, None)
    assert value(text, "modelyard_replicas", tenant="tnt_2", state="ready") == 5
    assert value(text, "modelyard_replica_memory_budget_bytes") == 1 << 30


def test_tokens_and_the_times_between_them(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, "gwy_1")
    route = metrics.route(ONE)
    metrics.route(TWO).observe(200, 1)
    route.first_token(60_000)
    route.next_tokens(1, 10_000)
    route.next_tokens(3, 60_003)
    route.next_tokens(0, 5_000_000)
    route.tokens(50, 20, 5)

    text = render(tmp_path, None)

    first, between = (
        "modelyard_time_to_first_token_seconds",
        "modelyard_inter_token_latency_seconds",
    )
    assert value(text, f"{first}_bucket", le="0.04") == 0
    assert value(text, f"{first}_bucket", le="0.06") == 1
    assert value(text, f"{first}_sum") == pytest.approx(0.06)
    assert [value(text, f"{between}_bucket", le=le) for le in ("0.01", "0.025")] == [1, 4]
    assert value(text, f"{between}_sum") == pytest.approx(0.070003)
    assert value(text, f"{between}_count") == 4
    kinds = ("input", "cached", "output")
    assert [value(text, "modelyard_tokens_total", kind=kind) for kind in kinds] == [30, 20, 5]


def test_how_far_budgets_are_spent_is_told_to_whose_they_are(tmp_path: Path) -> None:
    write_budgets(
        tmp_path,
        [
            BudgetCount("tnt_1", "key_a", "quo_1", Measure.ROWS, Period.DAY, False, 10, 12, 2),
            BudgetCount(
                "tnt_2", "", "quo_2", Measure.MONEY, Period.MONTH, True, PICO, PICO // 4, 1
            ),
        ],
    )
    own = render(tmp_path, "tnt_1")
    assert value(own, "modelyard_budget_spent", key="key_a", kind="soft", measure="rows") == 12
    assert value(own, "modelyard_budget_alert", quota="quo_1") == 2
    assert "quo_2" not in own
    assert value(render(tmp_path, None), "modelyard_budget_spent", quota="quo_2") == 0.25
    assert value(render(tmp_path, None), "modelyard_budget_amount", quota="quo_2") == 1
