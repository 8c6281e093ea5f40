"""`modelyard train`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from cyclopts import Parameter

from modelyard.cli.card import card_of, leaderboard
from modelyard.cli.display import Flag, Json, Many, parse_size, print_json, prose, terminal
from modelyard.cli.failure import CommandFailed
from modelyard.cli.job_view import left_running, watched
from modelyard.cli.jobs import require_success
from modelyard_client import Client
from modelyard_client.jobs import Job
from modelyard_client.models import ModelVersion

if TYPE_CHECKING:
    from rich.console import Console, Group


def train(  # noqa: PLR0913  (one parameter for each option)
    model: str,
    /,
    *,
    dataset: str,
    target: str | None = None,
    algorithm: str = "auto",
    task: Literal[
        "classification", "regression", "clustering", "anomaly_detection", "tagging", "translation"
    ]
    | None = None,
    metric: str | None = None,
    param: Many = None,
    include: Many = None,
    exclude: Many = None,
    tokens: Literal["auto", "words", "characters", "jieba"] | None = None,
    dataset_version: int | None = None,
    test_fraction: float | None = None,
    folds: int | None = None,
    trials: int | None = None,
    tune_seconds: float | None = None,
    window: int | None = None,
    horizon: int | None = None,
    series_column: str | None = None,
    time_column: str | None = None,
    group_column: str | None = None,
    workers: int | None = None,
    image_size: int | None = None,
    image_grey: Annotated[bool | None, Parameter(negative="--image-colour")] = None,
    embedder: str | None = None,
    ensemble: Literal["voting", "stacking"] | None = None,
    ensemble_size: int | None = None,
    stream: Flag = False,
    slice: Many = None,
    threshold: str | None = None,
    seed: int | None = None,
    alias: str | None = None,
    gate: Many = None,
    column: Many = None,
    select: str | None = None,
    priority: int | None = None,
    max_seconds: float | None = None,
    max_memory: str | None = None,
    wait: Flag = False,
    json: Json = False,
) -> None:
    """Train a version of a model from a dataset.

    Args:
        model: The model; it is made if need be.
        dataset: The dataset to learn from.
        target: The column to predict; clustering and anomaly detection have none.
        algorithm: One algorithm, or auto, which compares them by cross-validation.
        task: What is learned; found from the target if not given.
        metric: What the algorithms are compared by.
        param: A parameter of the algorithm as NAME=VALUE; may be given again.
        include: A column to learn from, and no others; may be given again.
        exclude: A column to leave out; may be given again.
        tokens: How texts are split: auto takes words, or characters where no spaces are written;
            jieba finds the words of Chinese.
        dataset_version: The dataset's version; the newest if not given.
        test_fraction: The share of rows that is held out to measure the result.
        folds: The folds of the cross-validation.
        trials: Tune the parameters of the algorithm, or of the best one, in so many trials.
        tune_seconds: Begin no trial after so many seconds of tuning.
        time_column: Hold out the latest rows by this column, and fold by it.
        window: Learn from so many steps of a time series, which --time-column puts in order.
        horizon: Predict the target so many steps after the window; 0 is its last step.
        series_column: Whose values tell the series of a table apart.
        group_column: Hold out whole groups of rows by this column, and fold by it.
        workers: Run so many trials at once, each in a process of its own.
        image_size: Bring pictures to a longer side of so many pixels, 4 to 512.
        image_grey: Learn from shades of grey, or from colours, whatever the pictures are.
        embedder: The registered sentence embedder that embedding_linear reads texts with, as
            MODEL, MODEL:VERSION or MODEL@ALIAS.
        ensemble: Let the best algorithms that auto finds vote, or a linear head weigh what they
            say, where cross-validation finds that better than the best alone.
        ensemble_size: How many of them, 2 to 10; 3 if not given.
        stream: Read the table in parts, so that it may be larger than memory; for algorithms that
            learn so.
        slice: Measure the result apart for each value of this column too; may be given again.
        threshold: Choose a threshold of probability for two classes: "f1", "precision >= 0.9",
            "recall >= 0.9", or "cost 1:5" for a false alarm and a miss.
        seed: Of everything that is random.
        alias: Point this alias, such as champion, at the new version.
        gate: What the version must reach before the alias moves, as "accuracy >= 0.9" or
            "not worse than @champion [by more than 0.01]"; may be given again.
        column: How a column is prepared, as NAME:OPTION=VALUE,... with the options role, impute,
            fill, indicator, scale and encode; * is every column; may be given again.
        select: The columns that are kept once prepared: k_best=10, variance=0.01 or l1=0.01.
        priority: From -100 to 100; of your queued jobs the higher ones come first.
        max_seconds: Stop the job if an attempt takes longer.
        max_memory: Stop the job if it uses more, such as 2GiB.
        wait: Follow the job to its end, and show how well the version does.
    """
    with Client() as client:
        job = client.jobs.submit_train(
            model,
            dataset=dataset,
            target=target,
            algorithm=algorithm,
            task=task,
            metric=metric,
            parameters=parse_parameters(param or ()),
            include=include,
            exclude=exclude,
            tokens=tokens,
            dataset_version=dataset_version,
            test_fraction=test_fraction,
            folds=folds,
            trials=trials,
            tune_seconds=tune_seconds,
            time_column=time_column,
            window=window,
            horizon=horizon,
            series_column=series_column,
            group_column=group_column,
            workers=workers,
            image_size=image_size,
            image_grey=image_grey,
            embedder=embedder,
            ensemble=ensemble,
            ensemble_size=ensemble_size,
            stream=stream or None,
            slices=slice,
            threshold=threshold,
            seed=seed,
            alias=alias,
            gates=gate,
            preprocessing=parse_columns(column or ()) or None,
            selection=None if select is None else parse_selection(select),
            priority=priority,
            max_seconds=max_seconds,
            max_memory_bytes=None if max_memory is None else parse_size(max_memory),
        )
        if json:
            _print_document(client, job, wait=wait)
        elif wait:
            out = terminal()
            with left_running(job.id):
                version = follow(client, job, out)
            out.print(result_of(version))
        else:
            terminal().print(f"job {job.id} is {job.state}: 'modelyard jobs watch {job.id}'")


def parse_parameters(pairs: Iterable[str]) -> dict[str, Any]:
    """`["depth=3", "solver=saga"]` as `{"depth": 3, "solver": "saga"}`: JSON where it is JSON.

    Raises:
        CommandFailed: a pair without a name or `=`, or a name twice.
    """
    parameters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise CommandFailed(f"--param '{pair}' must be NAME=VALUE, such as max_depth=3")
        if name in parameters:
            raise CommandFailed(f"--param '{pair}': '{name}' is given twice")
        try:
            parameters[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            parameters[name] = value
    return parameters


def parse_columns(rules: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`["age:impute=mean,scale=robust"]` as `{"age": {"impute": "mean", "scale": "robust"}}`.

    Raises:
        CommandFailed: a rule that is not written like that, or an option twice.
    """
    columns: dict[str, dict[str, Any]] = {}
    for rule in rules:
        name, _, options = rule.rpartition(":")
        pairs = options.split(",")
        if not name or not all(pair.partition("=")[0] and "=" in pair for pair in pairs):
            raise CommandFailed(
                f"--column '{rule}' must be NAME:OPTION=VALUE, such as age:scale=none"
            )
        known, given = columns.setdefault(name, {}), parse_parameters(pairs)
        if twice := sorted(known.keys() & given.keys()):
            raise CommandFailed(f"--column '{rule}': '{twice[0]}' of '{name}' is given twice")
        known |= given
    return columns


def parse_selection(text: str) -> dict[str, Any]:
    """`k_best=10` as `{"method": "k_best", "k": 10}`, and the others alike.

    Raises:
        CommandFailed: there is no such method.
    """
    method, equals, value = text.partition("=")
    if method not in _SELECTED_BY:
        known = ", ".join(_SELECTED_BY)
        raise CommandFailed(f"--select '{text}': there is no method '{method}'; there are: {known}")
    own = parse_parameters([f"{_SELECTED_BY[method]}={value}"]) if equals else {}
    return {"method": method, **own}


_SELECTED_BY: Final = {"k_best": "k", "variance": "threshold", "l1": "alpha"}


def follow(client: Client, job: Job, out: Console) -> ModelVersion:
    """Show the job's progress until it ends, and return the version that it made.

    Raises:
        CommandFailed: the job did not succeed.
    """
    ended = watched(client, job.id, out)
    require_success(ended)
    result = ended.result or {}
    for objection in result.get("objections", ()):
        out.print(prose(f"the alias stays where it is: {objection}"), soft_wrap=True)
    return client.models.version(str(result["model"]), int(result["version"]))


def result_of(version: ModelVersion) -> Group:
    """The leaderboard and the card."""
    from rich.console import Group

    card = version.card
    if not card.leaderboard:
        return Group("", card_of(version))
    return Group("", leaderboard(card.leaderboard, card.metric), "", card_of(version))


def _print_document(client: Client, job: Job, *, wait: bool) -> None:
    if wait:
        with left_running(job.id):
            job = client.jobs.wait(job.id)
    print_json(job)
    if wait:
        require_success(job)
