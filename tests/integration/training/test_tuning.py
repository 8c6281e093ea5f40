"""Tuning: better parameters, found again after any interruption."""

import random
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import psutil
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.jobs import JobState
from modelyard.core.tasks import SPEC_FILE
from modelyard.registry.card import Tuning
from modelyard.registry.model import Reference
from modelyard.training.tasks import TABLE_FILE
from modelyard.training.trial import Trial, TrialState, past_trials, write_trials
from modelyard.training.trial_processes import TrialProcesses
from tests.integration.training.room import OURS, Room
from tests.integration.training.tables import bundled, customers
from tests.integration.training.test_train import Run

SPEC: dict[str, Any] = {"algorithm": "lightgbm", "trials": 9, "folds": 3}


def found(run: Run) -> Tuning:
    tuning = run.result.card.tuning
    assert tuning is not None
    return msgspec.structs.replace(tuning, seconds=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("whole"), bundled("diabetes"), **SPEC)


def test_it_finds_better_parameters_and_trains_with_them(whole: Run) -> None:
    tuning = found(whole)
    assert tuning.trials == 9
    assert tuning.first is not None
    assert tuning.score > tuning.first + 0.02
    assert tuning.pruned + tuning.failed < 9
    used = whole.result.parameters
    assert tuning.parameters.items() <= used.items()
    assert 50 <= used["n_estimators"] <= 1000
    assert whole.result.parity.agreed, whole.result.parity.reason
    told = past_trials(line.data for line in whole.story)
    assert [trial.trial for trial in told] == list(range(9))


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("two"), bundled("diabetes"), **SPEC, workers=2)


@pytest.mark.parametrize(("workers", "after"), [(1, 1), (1, 4), (1, 8), (2, 5)])
def test_a_search_that_was_interrupted_ends_as_if_it_had_not_been(
    tmp_path: Path, whole: Run, by_two: Run, workers: int, after: int
) -> None:
    undisturbed = whole if workers == 1 else by_two
    past = past_trials(line.data for line in undisturbed.story)[:after]
    write_trials(past, tmp_path)
    resumed = Run(tmp_path, bundled("diabetes"), **SPEC, workers=workers)
    ran = [line.data["trial"] for line in resumed.story if "trial" in line.data]
    assert ran == list(range(after, 9))
    assert found(resumed) == found(undisturbed)
    assert trials_of(resumed) == trials_of(undisturbed)[after:]


def test_a_trial_that_cannot_be_read_is_run_again() -> None:
    told = [msgspec.to_builtins(Trial(n, TrialState.COMPLETE, {}, (0.5,), 1.0)) for n in range(3)]
    told[1]["scores"] = [None]
    assert [trial.trial for trial in past_trials(told)] == [0]


def trials_of(run: Run) -> list[Trial]:
    """As told, but for the time they took."""
    told = [msgspec.convert(line.data, Trial) for line in run.story if "trial" in line.data]
    return [msgspec.structs.replace(trial, seconds=0) for trial in told]


def test_two_processes_begin_like_one(whole: Run, by_two: Run) -> None:
    """The first trials know of none before them, with one process or with two."""
    first = [msgspec.structs.replace(trial, rungs={}) for trial in trials_of(whole)[:2]]
    assert [msgspec.structs.replace(t, rungs={}) for t in trials_of(by_two)[:2]] == first
    assert found(by_two).trials == 9
    assert found(by_two).score > (found(by_two).first or 1) + 0.02
    assert by_two.result.parity.agreed, by_two.result.parity.reason


def test_a_process_that_dies_is_replaced(tmp_path: Path, by_two: Run) -> None:
    bundled("diabetes").write_parquet(tmp_path / TABLE_FILE)
    spec = {"table": TABLE_FILE, "target": "target", **SPEC, "workers": 2}
    (tmp_path / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
    known = [msgspec.structs.replace(trial, seconds=0) for trial in trials_of(by_two)]
    with TrialProcesses(2, tmp_path) as processes:
        processes.algorithm = "lightgbm"
        processes.begin(8, known[:4])
        for child in psutil.Process().children():
            if str(tmp_path) in child.cmdline():
                child.kill()
        trial = processes.wait()
    assert msgspec.structs.replace(trial, seconds=0) == known[8]
    assert not [c for c in psutil.Process().children() if str(tmp_path) in c.cmdline()]


def test_a_search_whose_processes_die_again_and_again_is_given_up(tmp_path: Path) -> None:
    with TrialProcesses(1, tmp_path) as processes:
        # There is no specification in the folder, so none of them gets far.
        processes.begin(0, ())
        with pytest.raises(ChildProcessError, match="4 processes that ran trials died"):
            processes.wait()


def test_what_is_set_stays_and_the_rest_is_tuned(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        bundled("iris"),
        algorithm="svm",
        trials=4,
        folds=2,
        parameters={"C": 3, "kernel": "rbf"},
    )
    tuning = found(run)
    assert (tuning.parameters["C"], tuning.parameters["kernel"]) == (3, "rbf")
    assert set(tuning.parameters) <= {"C", "kernel", "gamma"}


def test_auto_tunes_the_best(tmp_path: Path) -> None:
    run = Run(tmp_path, customers(200), trials=3, folds=2)
    assert found(run).trials == 3
    assert run.result.card.leaderboard[0].algorithm == run.result.card.algorithm


def test_auto_does_without_trials_where_the_best_has_nothing_to_tune(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200, 2))
    line = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "target": 3 * x[:, 0] - x[:, 1]})
    card = Run(tmp_path, line, trials=3, folds=2).result.card
    assert (card.algorithm, card.tuning) == ("linear", None)
    assert card.reasons[-1] == "no trials: linear has no parameter to tune"


def test_no_trial_begins_after_the_time_is_up(tmp_path: Path) -> None:
    run = Run(tmp_path, bundled("iris"), algorithm="ridge", trials=500, tune_seconds=0.3, folds=2)
    assert 1 <= found(run).trials < 500


def test_an_algorithm_with_nothing_to_tune_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="'linear' has no parameter to tune"):
        Run(tmp_path, bundled("diabetes"), algorithm="linear", trials=3)


def _kill_tasks(room: Room, job_id: str, times: int, seen: list[int]) -> None:
    dice = random.Random(11)
    while len(seen) < times and not room.jobs.get(OURS, job_id).state.final:
        trials = [e for e in room.jobs.events(OURS, job_id) if "trial" in e.data]
        if len(trials) > (seen[-1] if seen else 0):
            time.sleep(dice.uniform(0, 0.3))
            for child in psutil.Process().children(recursive=True):
                if '"train"' in " ".join(child.cmdline()):
                    child.kill()
                    seen.append(len(trials))
                    break
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_that_is_killed_three_times_finds_what_an_undisturbed_one_finds(
    tmp_path: Path, whole: Run, by_two: Run, workers: int
) -> None:
    undisturbed = whole if workers == 1 else by_two
    room = Room(tmp_path)
    bundled("diabetes").write_parquet(tmp_path / "diabetes.parquet")
    room.datasets.add(
        OURS, "diabetes", room.upload((tmp_path / "diabetes.parquet").read_bytes()), "d.parquet"
    )
    spec = {"model": "sugar", "dataset": "diabetes", "target": "target", **SPEC}
    spec["workers"] = workers
    job = room.jobs.submit(OURS, "train", spec)
    stop, seen = threading.Event(), list[int]()
    killer = threading.Thread(target=_kill_tasks, args=(room, job.id, 3, seen))
    waiter = threading.Thread(target=_wait, args=(room, job.id, stop))
    killer.start()
    waiter.start()
    room.worker.run(stop)
    killer.join()
    waiter.join()
    ended = room.jobs.get(OURS, job.id)
    assert ended.state is JobState.SUCCEEDED, ended.failure
    assert seen, "it was not killed once"
    assert ended.attempt == len(seen) + 1
    card = room.registry.version(OURS, Reference("sugar", version=1)).card
    assert card.tuning is not None
    assert msgspec.structs.replace(card.tuning, seconds=0) == found(undisturbed)
    trials = [e.data["trial"] for e in room.jobs.events(OURS, job.id) if "trial" in e.data]
    assert sorted(set(trials)) == list(range(9))
    assert len(trials) < 9 + 4, "what had been told is not run again"
    room.store.close()


def _wait(room: Room, job_id: str, stop: threading.Event) -> None:
    deadline = time.monotonic() + 200
    while not room.jobs.get(OURS, job_id).state.final and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
