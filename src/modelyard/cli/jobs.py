"""`modelyard jobs`."""

from __future__ import annotations

from typing import Any

from modelyard.cli.display import Flag, Json, facts, listing, print_json, terminal, text
from modelyard.cli.failure import CommandFailed
from modelyard.cli.job_view import left_running, line_of, time_of, watched
from modelyard_client import Client
from modelyard_client.jobs import Job


def list_all(*, limit: int = 50, json: Json = False) -> None:
    """List the newest jobs first.

    Args:
        limit: How many at most.
    """
    with Client() as client:
        jobs = client.jobs.list(limit)
    if json:
        print_json(jobs)
        return
    rows = [(j.id, j.kind, _about(j), _state(j), j.created_at, _last_word(j)) for j in jobs]
    headings = ("JOB", "KIND", "MODEL", "STATE", "CREATED", "MESSAGE")
    listing(headings, rows, "no jobs: 'modelyard train' submits one")


def show(job: str, /, *, json: Json = False) -> None:
    """Show one job.

    Args:
        job: Its id.
    """
    with Client() as client:
        shown = client.jobs.get(job)
    if json:
        print_json(shown)
        return
    pairs = [
        ("job", shown.id),
        ("kind", shown.kind),
        ("state", shown.state),
        ("attempt", f"{shown.attempt} of {shown.max_attempts}"),
        ("priority", shown.priority),
        ("time left", "" if shown.seconds_left is None else time_of(shown.seconds_left)),
        ("created", shown.created_at),
        ("started", shown.started_at),
        ("finished", shown.finished_at),
        ("message", _last_word(shown)),
    ]
    pairs += [(f"spec {name}", value) for name, value in shown.spec.items()]
    pairs += [(f"result {name}", _told(value)) for name, value in (shown.result or {}).items()]
    terminal().print(facts(pairs))


def logs(job: str, /, *, follow: Flag = False, json: Json = False) -> None:
    """Print a job's story.

    Args:
        job: Its id.
        follow: Go on until the job is in a final state.
    """
    with Client() as client:
        if json:
            print_json(list(client.jobs.follow(job)) if follow else client.jobs.events(job))
            return
        out = terminal()
        for event in client.jobs.follow(job) if follow else client.jobs.events(job):
            out.print(line_of(event))


def watch(job: str, /, *, json: Json = False) -> None:
    """Show a job's progress until it ends: how far it is, its scores, and the time left.

    It fails if the job did not succeed.

    Args:
        job: Its id.
    """
    with Client() as client, left_running(job):
        ended = client.jobs.wait(job) if json else watched(client, job, terminal())
    if json:
        print_json(ended)
    require_success(ended)
    if not json:
        terminal().print(f"job {ended.id} {ended.state}")


def cancel(job: str, /, *, json: Json = False) -> None:
    """Stop a job. One in a final state stays as it is.

    Args:
        job: Its id.
    """
    with Client() as client:
        cancelled = client.jobs.cancel(job)
    if json:
        print_json(cancelled)
    elif cancelled.final:
        terminal().print(f"job {cancelled.id} is {cancelled.state}")
    else:
        terminal().print(f"job {cancelled.id} was asked to stop")


def require_success(job: Job) -> None:
    """Raise CommandFailed, with the server's reason, unless the job succeeded."""
    if job.state != "succeeded":
        reason = f": {job.failure.message}" if job.failure else ""
        raise CommandFailed(f"job {job.id} {_ENDS.get(job.state, job.state)}{reason}")


_ENDS = {
    "failed": "failed",
    "cancelled": "was cancelled",
    "dead": "was given up: its processes died again and again",
}


def _about(job: Job) -> str:
    return str(job.spec.get("model", "-"))


def _state(job: Job) -> str:
    share = None if job.final else job.fraction
    return job.state if share is None else f"{job.state} {share:.0%}"


def _last_word(job: Job) -> str:
    """What a job came to, or how far it is."""
    if job.failure:
        return job.failure.message
    result = job.result or {}
    if "version" in result:
        made = f"{result.get('model')}:{result['version']}"
        return f"made {made}, {result['algorithm']}" if result.get("algorithm") else f"made {made}"
    return job.message


def _told(value: Any) -> Any:
    """A value of a job's result as people read it."""
    if isinstance(value, dict):
        return "; ".join(f"{name} {text(one)}" for name, one in value.items())
    return "; ".join(map(text, value)) if isinstance(value, list) else value
