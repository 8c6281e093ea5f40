from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from modelyard_client import ApiError, TimedOut, Unreachable
from modelyard_client.jobs import Jobs
from modelyard_client.location import Location
from modelyard_client.transport import ATTEMPTS, Transport
from tests.unit.sdk.scripted_server import Answer, Asked, ScriptedServer

AT = "2026-11-22T00:00:00Z"


@pytest.fixture
def jobs(server: ScriptedServer) -> Iterator[Jobs]:
    transport = Transport(Location(server.url, "my_key"), 5)
    yield Jobs(transport, poll_seconds=0.01)
    transport.close()


class Story:
    """A job that succeeds after as many looks as it has events."""

    def __init__(self, *, events: int, streams: bool) -> None:
        self.told = 0
        self.events = events
        self.streams = streams

    def __call__(self, asked: Asked) -> Answer:
        if not asked.path.startswith("/api/v1/jobs/job_1/events"):
            state = "succeeded" if self.told == self.events else "running"
            return Answer(200, {"id": "job_1", "kind": "train", "state": state, "created_at": AT})
        after = int(asked.path.partition("after=")[2] or 0)
        self.told = min(self.events, self.told + 2)
        # A part of the story at a time, as the server does with long ones.
        lines = [_event(seq) for seq in range(after + 1, min(after + 3, self.told) + 1)]
        if asked.headers["accept"] != "text/event-stream":
            return Answer(200, {"items": lines})
        if not self.streams:
            return Answer(406, {"detail": "no streams here", "code": "invalid"})
        said = "".join(
            f"id: {e['seq']}\ndata: {msgspec.json.encode(e).decode()}\n\n" for e in lines
        )
        body = f": still there\n\nevent: other\ndata: {{}}\n\n{said}".encode()
        return Answer(200, body, {"content-type": "text/event-stream; charset=utf-8"})


def _event(seq: int) -> dict[str, Any]:
    return {"seq": seq, "at": AT, "message": f"m{seq}", "fraction": 0.5, "data": {"score": 1.0}}


@pytest.mark.parametrize("streams", [True, False])
def test_a_story_is_told_once_and_to_the_end(
    server: ScriptedServer, jobs: Jobs, streams: bool
) -> None:
    server.script = Story(events=5, streams=streams)
    assert [event.seq for event in jobs.follow("job_1")] == [1, 2, 3, 4, 5]


def test_a_long_story_is_read_part_by_part(server: ScriptedServer, jobs: Jobs) -> None:
    story = Story(events=8, streams=False)
    story.told = 8
    server.script = story
    assert [event.seq for event in jobs.events("job_1", after=1)] == [2, 3, 4, 5, 6, 7, 8]
    assert [event.seq for event in jobs.follow("job_1")] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_waiting_ends_with_the_job(server: ScriptedServer, jobs: Jobs) -> None:
    server.script = Story(events=3, streams=True)
    assert jobs.wait("job_1").state == "succeeded"


def test_a_server_that_starts_again_is_waited_for(server: ScriptedServer, jobs: Jobs) -> None:
    story = Story(events=5, streams=True)
    looks = 0

    def script(asked: Asked) -> Answer:
        nonlocal looks
        looks += "/events" not in asked.path
        away = 1 < looks < ATTEMPTS + 2 and story.told < story.events
        return Answer(hang_up=True) if away else story(asked)

    server.script = script
    assert [event.seq for event in jobs.follow("job_1")] == [1, 2, 3, 4, 5]
    assert looks > ATTEMPTS + 2


def test_a_server_that_stays_away_is_told(server: ScriptedServer) -> None:
    story = Story(events=5, streams=True)
    server.script = lambda asked: Answer(hang_up=True) if story.told else story(asked)
    transport = Transport(Location(server.url, "my_key"), 5)
    impatient = Jobs(transport, poll_seconds=0.01, patience=0.0)
    with pytest.raises(Unreachable):
        impatient.wait("job_1")
    transport.close()


def test_waiting_has_an_end(server: ScriptedServer, jobs: Jobs) -> None:
    server.script = Story(events=10**6, streams=True)
    with pytest.raises(TimedOut, match="it goes on"):
        jobs.wait("job_1", timeout=0.1)


def test_a_job_that_is_not_there(server: ScriptedServer, jobs: Jobs) -> None:
    server.answers = [Answer(404, {"detail": "there is no job 'job_2'", "code": "not_found"})]
    with pytest.raises(ApiError, match="job_2"):
        jobs.wait("job_2")


def test_only_what_was_given_is_sent(server: ScriptedServer, jobs: Jobs) -> None:
    answer = {"id": "job_1", "kind": "train", "state": "queued", "created_at": AT}
    server.answers = [Answer(202, answer)]
    jobs.submit_train("m", dataset="d", target="y", folds=3, seed=None)
    spec = {"model": "m", "dataset": "d", "target": "y", "folds": 3}
    assert server.asked[0].json() == {"kind": "train", "spec": spec}
