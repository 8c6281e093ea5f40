"""Real, small data for each algorithm of the catalogue: what it reads and does decides which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import Algorithm, Reads

if TYPE_CHECKING:
    import polars as pl


class Sample(NamedTuple):
    """A table, what it is called, and the column to predict, if there is one."""

    name: str
    table: pl.DataFrame
    target: str | None


def sample_for(algorithm: Algorithm, task: TaskKind) -> Sample:
    """The data on which this algorithm is measured and tested.

    Raises:
        LookupError: there is none yet for what the algorithm reads and does.
    """
    make = _SAMPLES.get((algorithm.reads, task))
    if make is None:
        raise LookupError(
            f"{algorithm.name} reads {algorithm.reads} and does {task}: bench/samples.py has no "
            "data for that yet; add some"
        )
    return make()


def _bundled(name: str, target: str | None) -> Sample:
    """One of the sets that come with scikit-learn."""
    import polars as pl
    from sklearn import datasets

    bunch: Any = getattr(datasets, f"load_{name}")()
    names = [str(column).replace(" ", "_") for column in bunch.feature_names]
    table = pl.DataFrame({column: bunch.data[:, at] for at, column in enumerate(names)})
    if target is None:
        return Sample(name, table, None)
    truth = bunch.target
    if hasattr(bunch, "target_names") and name != "diabetes":
        truth = [str(bunch.target_names[place]) for place in truth]
    return Sample(name, table.with_columns(pl.Series(target, truth)), target)


def _news(target: str) -> Sample:
    """300 news texts of the Australian Broadcasting Corporation, which come with gensim: to tell
    those that speak of Australia from the others (`about`), or how many words they have (`words`).
    """
    import gensim
    import polars as pl

    path = Path(gensim.__file__).parent / "test/test_data/lee_background.cor"
    texts = path.read_text("utf-8").splitlines()
    truth: list[str] | list[int] = [len(text.split()) for text in texts]
    if target == "about":
        truth = ["home" if "Austral" in text else "abroad" for text in texts]
    return Sample(f"news-{target}", pl.DataFrame({"text": texts, target: truth}), target)


_SAMPLES: Final[Mapping[tuple[Reads, TaskKind], Callable[[], Sample]]] = {
    (Reads.TABLE, TaskKind.CLASSIFICATION): lambda: _bundled("breast_cancer", "diagnosis"),
    (Reads.TABLE, TaskKind.REGRESSION): lambda: _bundled("diabetes", "progression"),
    (Reads.TABLE, TaskKind.CLUSTERING): lambda: _bundled("iris", None),
    (Reads.TABLE, TaskKind.ANOMALY_DETECTION): lambda: _bundled("wine", None),
    (Reads.TEXT, TaskKind.CLASSIFICATION): lambda: _news("about"),
    (Reads.TEXT, TaskKind.REGRESSION): lambda: _news("words"),
}
