"""Quotas at the edges of one gateway: who is refused, what is told, what is counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from modelyard.adapters.memory.allowances import MemoryAllowances
from modelyard.core.access import Grant
from modelyard.core.clock import ManualClock, microseconds
from modelyard.core.errors import BudgetExceeded, Unavailable
from modelyard.core.metering import Quantities
from modelyard.core.quotas import PICO, Measure, Period
from modelyard.core.tensors import Datatype
from modelyard.serving.limits.charges import Rates
from modelyard.serving.limits.limits import Limits
from modelyard.serving.limits.ports import Use
from modelyard.serving.limits.quota import WantedQuota
from tests.dataplane import OTHER_TENANT, TENANT, Answer, Gateway, call, echo, wait_until
from tests.speaking import TalkingGateway

pytestmark = pytest.mark.asyncio

ECHO = "/v2/models/echo-fp32/infer"
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> Any:
    gateway = Gateway(tmp_path)
    gateway.deploy(echo(Datatype.FP32))
    gateway.key("k")
    yield gateway
    await gateway.close()


def quota(measure: Measure, period: Period, amount: int, **more: Any) -> WantedQuota:
    more.setdefault("key_id", "key_k")
    return WantedQuota(
        f"quo_{measure}_{period}", TENANT, more.pop("key_id"), measure, period, amount, **more
    )


def bound(gateway: Gateway, *quotas: WantedQuota) -> None:
    gateway.quotas = list(quotas)
    gateway.publish()


def use(gateway: Gateway, which: int = 0) -> Use:
    found = gateway.service.use(gateway.quotas[which].id)
    assert found is not None
    return found


async def infer(gateway: Gateway, rows: int = 1, key: str = "k", datatype: str = "FP32") -> Answer:
    tensor = {"name": "x", "shape": [rows, 1], "datatype": datatype, "data": [1.0] * rows}
    return await call(gateway.front, "POST", ECHO, {"inputs": [tensor]}, key=key)


async def test_a_rate_is_told_with_each_answer_and_then_refused(gateway: Gateway) -> None:
    bound(gateway, quota(Measure.REQUESTS, Period.MINUTE, 3))
    for left in (2, 1, 0):
        answer = await infer(gateway)
        assert answer.status == 200
        assert answer.headers["ratelimit-policy"] == '"key-requests-minute";q=3;w=60'
        told = answer.headers["ratelimit"]
        assert told.startswith(f'"key-requests-minute";r={left};t=')
        assert 60 <= int(told.rpartition("=")[2]) <= 61
    refused = await infer(gateway)
    assert refused.status == 429
    assert refused.json() == {"error": "this key may use 3 requests a minute"}
    assert 59 <= int(refused.headers["retry-after"]) <= 61
    assert refused.headers["ratelimit"].startswith('"key-requests-minute";r=0;')
    assert [event.status for event in gateway.events()] == [200, 200, 200, 429]


async def test_failures_count_against_a_rate_and_not_against_a_budget(gateway: Gateway) -> None:
    bound(
        gateway,
        quota(Measure.REQUESTS, Period.MINUTE, 10),
        quota(Measure.REQUESTS, Period.DAY, 2),
    )
    assert (await infer(gateway, datatype="BOOL")).status == 400
    assert (await infer(gateway)).status == 200
    assert (use(gateway, 0), use(gateway, 1)) == (Use(1), Use(1, 0))
    assert (await infer(gateway)).status == 200
    refused = await infer(gateway)
    assert refused.status == 402
    assert refused.json() == {"error": "this key may use 2 requests a day"}
    assert '"key-requests-day";r=0;t=' in refused.headers["ratelimit"]
    assert "retry-after" not in refused.headers


async def test_rows_are_held_before_they_run(gateway: Gateway) -> None:
    bound(gateway, quota(Measure.ROWS, Period.TOTAL, 10))
    assert (await infer(gateway, 7)).status == 200
    refused = await infer(gateway, 4)
    assert refused.status == 402
    assert "this request may come to 4 rows, and 3 rows are left" in refused.json()["error"]
    assert (await infer(gateway, 3)).status == 200
    assert use(gateway) == Use(10, 0)
    assert refused.headers["ratelimit"] == '"key-rows-total";r=3'


async def test_a_soft_budget_lets_in_as_long_as_anything_is_left(gateway: Gateway) -> None:
    bound(gateway, quota(Measure.ROWS, Period.MONTH, 10, strict=False))
    assert [(await infer(gateway, 9)).status for _ in range(3)] == [200, 200, 402]
    assert use(gateway) == Use(18, 0)


async def test_all_keys_of_a_tenant_share_its_quota_and_other_tenants_have_none(
    gateway: Gateway,
) -> None:
    gateway.key("second")
    gateway.key("other", tenant="tnt_2")
    gateway.deploy(echo(Datatype.FP32), tenant="tnt_2")
    bound(gateway, quota(Measure.REQUESTS, Period.DAY, 2, key_id=None))
    statuses = [(await infer(gateway, key=key)).status for key in ("k", "second", "k", "second")]
    assert statuses == [200, 200, 402, 402]
    free = await infer(gateway, key="other")
    assert free.status == 200
    assert "ratelimit" not in free.headers
    assert "ratelimit-policy" not in free.headers


def of_deployment(measure: Measure, amount: int, *, each: bool) -> WantedQuota:
    period = Period.MOMENT if measure is Measure.CONCURRENCY else Period.MINUTE
    limit = quota(measure, period, amount, key_id=None)
    return replace(limit, id=f"{limit.id}_{each}", deployment="echo-fp32", each_caller=each)


async def test_a_publisher_limits_all_callers_of_a_deployment_together(gateway: Gateway) -> None:
    gateway.key("other", tenant=OTHER_TENANT)
    gateway.subscribe(OTHER_TENANT, "echo-fp32")
    gateway.deploy(echo(Datatype.INT64))
    bound(gateway, of_deployment(Measure.ROWS, 10, each=False))
    own = await infer(gateway, 4)
    assert own.headers["ratelimit"].startswith('"deployment-rows-minute";r=6;')
    theirs = await infer(gateway, 5, key="other")
    # What others use of it is not told to who is not its publisher.
    assert (theirs.status, "ratelimit" in theirs.headers) == (200, False)
    refused = await infer(gateway, 2, key="other")
    assert (refused.status, "retry-after" in refused.headers) == (429, True)
    assert refused.json() == {"error": "this deployment is as busy as its publisher lets it be"}
    told = (await infer(gateway, 2)).json()["error"]
    assert "all callers of this deployment may use 10 rows a minute" in told
    assert use(gateway) == Use(9)
    # It is this deployment's alone.
    tensor = {"name": "x", "shape": [50, 1], "datatype": "INT64", "data": [1] * 50}
    path = "/v2/models/echo-int64/infer"
    assert (await call(gateway.front, "POST", path, {"inputs": [tensor]}, key="k")).status == 200


async def test_a_publisher_limits_each_caller_of_a_deployment(gateway: Gateway) -> None:
    gateway.key("other", tenant=OTHER_TENANT)
    gateway.key("second", tenant=OTHER_TENANT)
    gateway.subscribe(OTHER_TENANT, "echo-fp32")
    bound(gateway, of_deployment(Measure.REQUESTS, 2, each=True))
    keys = ("other", "second", "other", "k", "k", "k")
    answers = [await infer(gateway, key=key) for key in keys]
    assert [answer.status for answer in answers] == [200, 200, 429, 200, 200, 429]
    assert answers[0].headers["ratelimit"].startswith('"caller-requests-minute";r=1;')
    assert answers[2].json() == {
        "error": "each caller of this deployment may use 2 requests a minute"
    }
    assert gateway.service.use(gateway.quotas[0].id) is None


async def test_what_a_deployments_limit_refuses_is_given_back_to_the_key(gateway: Gateway) -> None:
    bound(
        gateway,
        of_deployment(Measure.ROWS, 5, each=False),
        quota(Measure.ROWS, Period.DAY, 100),
        quota(Measure.ROWS, Period.MINUTE, 100),
        quota(Measure.CONCURRENCY, Period.MOMENT, 1),
    )
    assert [(await infer(gateway, rows)).status for rows in (3, 3, 2)] == [200, 429, 200]
    assert [use(gateway, at) for at in (1, 2, 3)] == [Use(5, 0), Use(5), Use(0, 0)]


async def test_money_is_counted_at_the_rates_of_the_moment(gateway: Gateway) -> None:
    bound(gateway, quota(Measure.MONEY, Period.MONTH, PICO))
    gateway.rates = {"dep_echo-fp32": (Rates(0, row=PICO // 4),)}
    gateway.publish()
    assert (await infer(gateway, 3)).status == 200
    refused = await infer(gateway, 2)
    assert refused.status == 402
    assert refused.json() == {
        "error": "this key may spend 1 a month; this request may come to 0.5, and 0.25 are left"
    }
    assert (await infer(gateway, 1)).status == 200
    assert use(gateway) == Use(PICO, 0)
    assert "ratelimit" not in refused.headers


async def test_what_cannot_be_recorded_is_not_counted(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound(
        gateway,
        quota(Measure.ROWS, Period.DAY, 10),
        quota(Measure.CONCURRENCY, Period.MOMENT, 1),
    )
    monkeypatch.setattr(
        gateway.journal, "append", lambda event, recorded: recorded(Unavailable("full"))
    )
    assert (await infer(gateway, 4)).status == 503
    assert (use(gateway, 0), use(gateway, 1)) == (Use(0, 0), Use(0, 0))


async def test_a_day_has_its_own_budget_and_a_clock_set_back_finds_the_old_one() -> None:
    clock = ManualClock()
    limits = Limits([quota(Measure.ROWS, Period.DAY, 10)], {}, MemoryAllowances(), clock.monotonic)
    mine = limits.of(Grant("key_k", TENANT, "infer"), TENANT, "echo-fp32")
    assert mine is not None
    today = microseconds(clock.now())
    tomorrow = today + 86_400_000_000
    mine.reserve("dep_1", today, Quantities(1, 10))
    with pytest.raises(BudgetExceeded, match="10 rows a day") as refused:
        mine.check(today)
    assert refused.value.resets == 86_400
    mine.reserve("dep_1", tomorrow, Quantities(1, 10))
    with pytest.raises(BudgetExceeded):
        mine.check(today + 3_600_000_000)


# Text


@pytest_asyncio.fixture
async def talking(tmp_path: Path) -> Any:
    gateway = TalkingGateway(tmp_path, "Hi", " there", ", you")
    yield gateway
    await gateway.close()


async def chat(gateway: Gateway, **more: Any) -> Answer:
    return await call(gateway.front, "POST", "/v1/chat/completions", CHAT | more, key="k")


async def test_tokens_are_held_to_the_longest_answer_and_settled_to_what_came(
    talking: TalkingGateway,
) -> None:
    bound(
        talking, quota(Measure.TOKENS, Period.DAY, 300), quota(Measure.TOKENS, Period.MINUTE, 200)
    )
    answer = await chat(talking, max_tokens=100)
    assert answer.status == 200
    assert answer.headers["x-ratelimit-limit-tokens"] == "200"
    assert (use(talking, 0), use(talking, 1)) == (Use(10, 0), Use(10))

    refused = await chat(talking, max_tokens=190)
    told = refused.json()["error"]
    assert (refused.status, told["code"], told["type"]) == (
        429,
        "rate_limit_exceeded",
        "rate_limit_exceeded",
    )
    assert "retry-after" in refused.headers
    assert use(talking, 0) == Use(10, 0)


async def test_openai_clients_are_told_that_a_budget_is_spent_and_not_to_try_again(
    talking: TalkingGateway,
) -> None:
    bound(talking, quota(Measure.TOKENS, Period.TOTAL, 50))
    refused = await chat(talking)
    told = refused.json()["error"]
    assert (refused.status, told["code"], told["type"]) == (
        429,
        "insufficient_quota",
        "insufficient_quota",
    )
    assert refused.headers["x-should-retry"] == "false"
    assert talking.speaker.asked == []


async def test_an_answer_without_a_bound_gets_one_where_tokens_are_bounded(
    talking: TalkingGateway,
) -> None:
    await chat(talking)
    bound(talking, quota(Measure.TOKENS, Period.DAY, 10_000))
    await chat(talking, n=2)
    assert [each.sampling.max_tokens for each in talking.speaker.asked] == [0, 2048, 2048]
    # A prompt counts once, however many answers it has.
    assert use(talking) == Use(7 + 3 + 3, 0)


async def test_a_stream_that_is_left_costs_what_came_of_it(talking: TalkingGateway) -> None:
    bound(
        talking,
        quota(Measure.TOKENS, Period.DAY, 1000),
        quota(Measure.CONCURRENCY, Period.MOMENT, 1),
    )
    talking.speaker.stalls_after = 2
    begun = asyncio.Event()

    async def receive() -> MutableMapping[str, Any]:
        if not begun.is_set():
            begun.set()
            body = json.dumps(CHAT | {"stream": True, "max_tokens": 500}).encode()
            return {"type": "http.request", "body": body, "more_body": False}
        await talking.speaker.stalled.wait()
        held = use(talking, 0).held
        assert 500 <= held <= 600
        assert use(talking, 1) == Use(0, 1)
        assert (await chat(talking)).status == 429
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        return None

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer k")],
    }
    await talking.front(scope, receive, send)
    await asyncio.to_thread(wait_until, lambda: use(talking, 0).held == 0)
    assert (use(talking, 0), use(talking, 1)) == (Use(7 + 2, 0), Use(0, 0))
    await chat(talking, stream=False)


async def test_an_engine_that_refuses_costs_nothing(talking: TalkingGateway) -> None:
    bound(talking, quota(Measure.TOKENS, Period.DAY, 1000), quota(Measure.REQUESTS, Period.DAY, 5))
    talking.speaker.refusal = Unavailable("not now")
    assert (await chat(talking, max_tokens=5)).status == 503
    assert (use(talking, 0), use(talking, 1)) == (Use(0, 0), Use(0, 0))
