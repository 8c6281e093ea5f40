from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from modelyard.cli.failure import CommandFailed
from modelyard.cli.prices import parse_price
from modelyard.cli.usage import totals
from modelyard_client.billing import UsageLine
from tests.unit.cli.conftest import Run
from tests.unit.sdk.scripted_server import Answer, ScriptedServer

LINE = {
    "group": "2026-11-22",
    "requests": 3,
    "errors": 1,
    "rows": 300,
    "bytes_in": 2048,
    "bytes_out": 10,
    "mean_ms": 0.5,
    "cost": "0.003000000000000001",
    "currency": "USD",
    "cached": 0,
    "prompt_tokens": 0,
    "cached_tokens": 0,
    "completion_tokens": 0,
    "compute_ms": 0.0,
    "groups": {"day": "2026-11-22"},
}


def _line(cost: str | None, currency: str | None) -> UsageLine:
    return UsageLine("g", 1, 0, 1, 1, 1, 1.0, None if cost is None else Decimal(cost), currency)


def test_totals_are_exact_and_by_currency() -> None:
    lines = [_line("0.1", "USD"), _line("0.2", "USD"), _line(None, None), _line("5", "EUR")]
    assert totals(lines) == ["5 EUR", "0.3 USD"]


def test_usage_shows_the_exact_cost(run: Run, server: ScriptedServer) -> None:
    server.answers = [Answer(200, {"items": [LINE]})]
    ended = run("usage", "--by", "day", "--since", "2026-11-01")
    assert "0.003000000000000001 USD" in ended.out
    assert "2.0 KiB" in ended.out
    assert "since=2026-11-01T00%3A00%3A00%2B00%3A00" in server.asked[0].path


def test_usage_shows_what_the_cache_answered(run: Run, server: ScriptedServer) -> None:
    other = {**LINE, "group": "2026-11-23"}
    server.answers = [Answer(200, {"items": [{**LINE, "cached": 2}, other]})]
    heading, first, second, total = run("usage").out.splitlines()
    assert heading.split()[1:5] == ["REQUESTS", "ERRORS", "CACHED", "ROWS"]
    assert first.split()[1:5] == ["3", "1", "2", "300"]
    assert second.split()[1:5] == ["3", "1", "0", "300"]
    assert total.split() == ["total", *"----", "0.006000000000000002", "USD"]


def test_usage_shows_the_tokens_of_language_models(run: Run, server: ScriptedServer) -> None:
    other = {**LINE, "group": "2026-11-23", "prompt_tokens": 37, "completion_tokens": 8}
    server.answers = [Answer(200, {"items": [LINE, other]})]
    heading, first, second, total = run("usage").out.splitlines()
    assert heading.split()[4:7] == ["ROWS", "TOKENS", "IN"]
    assert first.split()[4:8] == ["300", "0", "+", "0"]
    assert second.split()[4:8] == ["300", "37", "+", "8"]
    assert total.split() == ["total", *"----", "0.006000000000000002", "USD"]


def test_usage_for_programs_keeps_amounts_as_text(run: Run, server: ScriptedServer) -> None:
    server.answers = [Answer(200, {"items": [LINE]})]
    assert json.loads(run("usage", "--json").out) == [LINE]


def test_usage_by_key_tells_whose_key_it_is(run: Run, server: ScriptedServer) -> None:
    key = {"id": LINE["group"], "name": "clinic", "scope": "infer"}
    keys = {"items": [{**key, "created_at": "2026-11-22T00:00:00Z"}]}
    server.answers = [Answer(200, {"items": [LINE]}), Answer(200, keys)]
    assert "clinic" in run("usage", "--by", "key").out


def test_usage_by_tenant_names_those_that_the_caller_may_know(
    run: Run, server: ScriptedServer
) -> None:
    tenant = {"id": LINE["group"], "name": "north", "created_at": "2026-11-22T00:00:00Z"}
    server.answers = [Answer(200, {"items": [LINE]}), Answer(200, {"items": [tenant]})]
    assert "north" in run("usage", "--by", "tenant").out
    server.answers = [Answer(200, {"items": [LINE]}), Answer(403, {"detail": "no"})]
    ended = run("usage", "--by", "tenant")
    assert (ended.code, ended.err) == (0, "")
    assert "NAME" not in ended.out


@pytest.mark.parametrize(
    ("options", "format"),
    [
        (["u.parquet"], "parquet"),
        (["u.json"], "cloudevents"),
        (["u.txt"], "csv"),
        (["u.parquet", "--format", "csv"], "csv"),
    ],
)
def test_usage_is_exported_in_the_form_of_the_files_ending(
    run: Run,
    server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    format: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    server.answers = [Answer(200, b"rows")]
    assert run("usage", "export", "--to", *options).code == 0
    assert f"format={format}" in server.asked[0].path
    assert (tmp_path / options[0]).read_bytes() == b"rows"


def test_a_price_for_a_tenant_by_its_name(run: Run, server: ScriptedServer) -> None:
    tenant = {"id": "tnt_1", "name": "north", "created_at": "2026-11-22T00:00:00Z"}
    server.answers = [Answer(200, tenant), Answer(404, {"detail": "enough"})]
    run("prices", "set", "m", "--per", "row=1", "--for", "north")
    assert server.asked[0].path == "/api/v1/tenants/north"
    assert server.asked[1].json()["customer"] == "tnt_1"


def test_no_usage(run: Run, server: ScriptedServer) -> None:
    server.answers = [Answer(200, {"items": []})]
    assert run("usage").out == "no usage yet\n"


@pytest.mark.parametrize("text", ["", "0.1", "token=1", "request=", "request:1"])
def test_a_price_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed, match="request=AMOUNT"):
        parse_price(text)


def test_a_price_goes_out_as_it_was_written(run: Run, server: ScriptedServer) -> None:
    price = {"amount": "0.0010", "currency": "USD"}
    made = {"id": "p", "deployment": "m", "unit": "row", "price": price}
    server.answers = [
        Answer(201, {**made, "effective_from": "2026-11-22T00:00:00Z"}),
        Answer(200, {"items": []}),
    ]
    ended = run("prices", "set", "m", "--per", "row=0.0010")
    assert ended.out == "m costs 0.0010 USD per row\n"
    assert "there is no deployment 'm' yet" in ended.err
    assert server.asked[0].json() == {"deployment": "m", "unit": "row", "amount": "0.0010"}
