"""How a job is watched: a bar and the scores so far on a terminal, lines in a file."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from modelyard.cli.display import table, text
from modelyard_client import Client
from modelyard_client.jobs import Job, JobEvent

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live


def watched(client: Client, job_id: str, out: Console) -> Job:
    """Show the job's progress until it is in a final state; the job as it is then.

    A terminal gets a bar and the scores so far, a file the main lines of the story.
    """
    with ExitStack() as stack:
        view = stack.enter_context(LiveView(out)) if out.is_terminal else None
        for event in client.jobs.follow(job_id):
            if view is not None:
                view.show(event)
            elif "fold" not in event.data:
                out.print(line_of(event))
                sys.stdout.flush()
    return client.jobs.get(job_id)


@contextmanager
def left_running(job_id: str) -> Iterator[None]:
    """Who stops waiting for a job is told that it goes on without them."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"the job goes on: 'modelyard jobs watch {job_id}' follows it, "
            f"'modelyard jobs cancel {job_id}' stops it"
        ) from None


def line_of(event: JobEvent) -> str:
    """An event as one line."""
    share = "    " if event.fraction is None else f"{event.fraction:4.0%}"
    return f"{event.at.astimezone():%H:%M:%S} {share}  {text(event.message)}"


def time_of(seconds: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Board:
    """The fold scores that a job has told so far."""

    def __init__(self) -> None:
        self.metric = ""
        self._scores: dict[str, list[float]] = defaultdict(list)

    def add(self, event: JobEvent) -> None:
        """Take in the event's score, if it tells one."""
        score, algorithm = event.data.get("score"), event.data.get("algorithm")
        if isinstance(score, int | float) and isinstance(algorithm, str):
            self.metric = str(event.data.get("metric", self.metric))
            self._scores[algorithm].append(float(score))

    def rows(self) -> Sequence[tuple[str, str, int]]:
        """Algorithm, mean score so far and folds done, in the order of trial."""
        return [
            (name, f"{sum(scores) / len(scores):.4f}", len(scores))
            for name, scores in self._scores.items()
        ]


class LiveView:
    """A progress bar over the scores so far, drawn in place."""

    def __init__(self, out: Console) -> None:
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._board = Board()
        self._bar = Progress(
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.description}", markup=False),
            console=out,
        )
        self._task = self._bar.add_task("waiting for a worker", total=1.0, left="")
        self._live: Live = Live(self._drawn(), console=out, refresh_per_second=8, transient=True)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: JobEvent) -> None:
        """Draw what the event says."""
        self._board.add(event)
        left = "" if event.seconds_left is None else f"{time_of(event.seconds_left)} left"
        self._bar.update(self._task, description=text(event.message), left=left)
        if event.fraction is not None:
            self._bar.update(self._task, completed=event.fraction)
        self._live.update(self._drawn())

    def _drawn(self) -> Group:
        from rich.console import Group

        rows = self._board.rows()
        if not rows:
            return Group(self._bar)
        headings = ("ALGORITHM", self._board.metric.upper() or "SCORE", "FOLDS")
        return Group(self._bar, table(headings, rows))
