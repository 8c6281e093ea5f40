"""A job's story as server-sent events."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from modelyard.api.asgi import App, Message
from modelyard.api.management import make_management_app
from modelyard.core import ids
from modelyard.core.access import Grant, Scope
from modelyard.core.jobs import Job, JobState
from modelyard.core.tasks import Progress

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Listener:
    """One GET at the ASGI level: it sees each piece as it is sent, and may hang up."""

    def __init__(self, app: App, yard: Yard, job_id: str, headers: dict[str, str]) -> None:
        self._app = app
        self._gone = asyncio.Event()
        self._came = asyncio.Event()
        self.messages: list[Message] = []
        self._asked = False
        self.scope = {
            "type": "http",
            "method": "GET",
            "path": f"/api/v1/jobs/{job_id}/events",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "auth": Grant("key_caller", yard.tenant, Scope.MANAGE),
        }

    async def run(self) -> None:
        await self._app(self.scope, self._receive, self._send)

    async def hears(self, text: bytes) -> None:
        """Wait for the text to have come."""
        while text not in self.text:
            self._came.clear()
            await asyncio.wait_for(self._came.wait(), 10)

    def hang_up(self) -> None:
        self._gone.set()

    @property
    def text(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.messages.append(message)
        self._came.set()
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            # As the specification has it: who goes on receiving hears of the end.
            self._gone.set()


STREAM = {"accept": "text/event-stream"}


def _running(yard: Yard) -> Job:
    job = Job(ids.new_id(ids.JOB), yard.tenant, "train", {}, yard.clock.now())
    with yard.store.begin() as tx:
        tx.jobs(yard.tenant).add(job)
        claimed = tx.queue().claim("wrk_1", yard.clock.now())
    assert claimed is not None
    return claimed


def _tell(yard: Yard, job: Job, *messages: str) -> None:
    with yard.store.begin() as tx:
        story = [Progress(message) for message in messages]
        tx.queue().record(job.id, job.fence, yard.clock.now(), story)


def _finish(yard: Yard, job: Job) -> None:
    with yard.store.begin() as tx:
        tx.queue().finish(job.id, job.fence, yard.clock.now(), JobState.SUCCEEDED, result={})


def _events(text: bytes) -> list[tuple[str, Any]]:
    found = []
    for block in text.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], msgspec.json.decode(fields["data"])))
    return found


async def test_a_stream_tells_the_story_and_ends_with_the_job(yard: Yard) -> None:
    job = _running(yard)
    _tell(yard, job, "one")
    listener = Listener(yard.app, yard, job.id, STREAM)
    task = asyncio.create_task(listener.run())
    await listener.hears(b'"one"')
    _tell(yard, job, "two")
    _finish(yard, job)
    await asyncio.wait_for(task, 10)
    start = listener.messages[0]
    assert start["status"] == 200
    assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
    told = _events(listener.text)
    assert [data["message"] for name, data in told if name == "progress"][-2:] == ["one", "two"]
    assert told[-1] == ("end", {"id": job.id, "state": "succeeded"})
    assert listener.messages[-1]["more_body"] is False


async def test_the_story_says_how_long_it_will_go_on(yard: Yard) -> None:
    job = _running(yard)
    yard.clock.advance(30)
    with yard.store.begin() as tx:
        story = [Progress("a quarter is done", 0.25, {"trial": 3, "loss": 0.5})]
        tx.queue().record(job.id, job.fence, yard.clock.now(), story)
    async with yard.client() as client:
        (event,) = (await client.get(f"/jobs/{job.id}/events")).json()["items"]
        shown = (await client.get(f"/jobs/{job.id}")).json()
        assert (event["seconds_left"], shown["seconds_left"]) == (90.0, 90.0)
        assert event["data"] == {"trial": 3, "loss": 0.5}
        _finish(yard, job)
        assert (await client.get(f"/jobs/{job.id}")).json()["seconds_left"] is None
        stream = await client.get(f"/jobs/{job.id}/events", headers=STREAM)
    assert _events(stream.content)[0][1]["seconds_left"] == 90.0


async def test_who_comes_back_hears_only_what_is_new(yard: Yard) -> None:
    job = _running(yard)
    _tell(yard, job, "one", "two", "three")
    _finish(yard, job)
    async with yard.client() as client:
        story = (await client.get(f"/jobs/{job.id}/events")).json()["items"]
        seen = next(event["seq"] for event in story if event["message"] == "two")
        later = (await client.get(f"/jobs/{job.id}/events?after={seen}")).json()["items"]
        stream = await client.get(
            f"/jobs/{job.id}/events", headers={**STREAM, "Last-Event-ID": str(seen)}
        )
    told = [data for name, data in _events(stream.content) if name == "progress"]
    assert told == later
    assert "two" not in [event["message"] for event in later]
    assert "three" in [event["message"] for event in later]


async def test_nothing_goes_on_after_the_client_has_gone(yard: Yard) -> None:
    class Counting:
        """The job service, which counts how often it is asked."""

        def __init__(self) -> None:
            self.asked = 0

        def get(self, *arguments: Any) -> Job:
            self.asked += 1
            return yard.services.jobs.get(*arguments)

        def events(self, *arguments: Any) -> Sequence[Any]:
            return yard.services.jobs.events(*arguments)

    job, jobs = _running(yard), Counting()
    _tell(yard, job, "one")
    services = dataclasses.replace(yard.services, jobs=jobs)  # type: ignore[arg-type]
    listener = Listener(make_management_app(services), yard, job.id, STREAM)
    task = asyncio.create_task(listener.run())
    await listener.hears(b'"one"')
    listener.hang_up()
    await asyncio.wait_for(task, 5)
    asked = jobs.asked
    await asyncio.sleep(0.7)
    assert jobs.asked == asked


async def test_a_stream_ends_when_the_process_drains(yard: Yard) -> None:
    draining = asyncio.Event()
    services = dataclasses.replace(yard.services, draining=draining.is_set)
    job = _running(yard)
    _tell(yard, job, "one")
    listener = Listener(make_management_app(services), yard, job.id, STREAM)
    task = asyncio.create_task(listener.run())
    await listener.hears(b'"one"')
    draining.set()
    await asyncio.wait_for(task, 5)
    assert "end" not in [name for name, _ in _events(listener.text)]
    assert listener.messages[-1]["more_body"] is False


async def test_a_job_that_is_not_there_has_no_story(yard: Yard) -> None:
    job = _running(yard)
    async with yard.client() as client, yard.client(other=True) as stranger:
        for headers in ({}, STREAM):
            answer = await client.get("/jobs/job_0/events", headers=headers)
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"
            theirs = await stranger.get(f"/jobs/{job.id}/events", headers=headers)
            assert theirs.status_code == 404
        for query in ("after=-1", "after=x", f"after={2**31}"):
            assert (await client.get(f"/jobs/{job.id}/events?{query}")).status_code == 400
