"""Real, small data for each algorithm of the catalogue: what it reads and does decides which."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import Algorithm, Reads

if TYPE_CHECKING:
    import polars as pl


class Sample(NamedTuple):
    """A table, what it is called, and the column to predict, if there is one.

    Of `pictures` the table has their names and classes, and they are in folders by class.
    """

    name: str
    table: pl.DataFrame
    target: str | None
    pictures: Mapping[str, bytes] = {}

    def write(self, folder: Path) -> Path:
        """The file that is uploaded; written once."""
        if not self.pictures:
            path = folder / f"{self.name}.parquet"
            if not path.exists():
                self.table.write_parquet(path)
            return path
        path = folder / f"{self.name}.zip"
        if not path.exists():
            with zipfile.ZipFile(path, "w") as archive:
                for name, data in self.pictures.items():
                    archive.writestr(name, data)
        return path


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


def quick_parameters(algorithm: Algorithm) -> dict[str, Any]:
    """What makes the algorithm quick on such data, and leaves it what it is."""
    if algorithm.name in _QUICK:
        return dict(_QUICK[algorithm.name])
    if algorithm.reads in (Reads.TEXT, Reads.SEQUENCE) and algorithm.library == "torch":
        return {"epochs": 8, "max_length": 50, "learning_rate": 0.01}
    return {}


_QUICK: Final[Mapping[str, Mapping[str, Any]]] = {
    "random_forest": {"n_estimators": 20},
    "isolation_forest": {"n_estimators": 20},
    "neural_network": {"epochs": 12},
    "cnn": {"epochs": 8, "conv_channels": [8], "batch_size": 32, "learning_rate": 0.01},
    "word2vec_linear": {"C": 100.0},
    "seq2seq": {
        "embedding_dim": 32,
        "hidden_size": 48,
        "epochs": 12,
        "learning_rate": 0.01,
        "batch_size": 32,
        "min_count": 1,
    },
}


def bundled(name: str, target: str | None) -> Sample:
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


def _openings(target: str) -> Sample:
    """The first thirty words of the same texts, for what reads them slowly."""
    import polars as pl

    whole = _news(target).table
    words = pl.col("text").str.split(" ").list.head(30).list.join(" ")
    table = whole.with_columns(words.alias("text"))
    if target == "words":
        longest = pl.col("text").str.split(" ").list.eval(pl.element().str.len_chars()).list.mean()
        table = table.with_columns(longest.alias("words"))
    return Sample(f"openings-{target}", table, target)


def _names() -> Sample:
    """The first forty words of the same texts, tagged by whether they are written with a capital
    letter within a sentence, as names are in English.
    """
    import polars as pl

    rows = []
    for text in _news("about").table.get_column("text"):
        words = text.split()[:40]
        named = [
            at > 0 and word[0].isupper() and not words[at - 1].endswith(".")
            for at, word in enumerate(words)
        ]
        tags = [
            ("I-NAME" if named[at - 1] else "B-NAME") if own else "O"
            for at, own in enumerate(named)
        ]
        rows.append((" ".join(words), " ".join(tags)))
    return Sample("names", pl.DataFrame(rows, schema=["text", "tags"], orient="row"), "tags")


def _days() -> Sample:
    """Days of four years as people write them, and by their numbers."""
    import polars as pl

    days = [date(2023, 1, 1) + timedelta(at) for at in range(0, 1461, 2)]
    rows = [(f"{day:%B} {day.day}, {day.year}", f"{day:y%Y m%m d%d}") for day in days]
    return Sample("days", pl.DataFrame(rows, schema=["day", "numbers"], orient="row"), "numbers")


def _digits() -> Sample:
    """500 of the handwritten digits that come with scikit-learn, as pictures of 16 x 16."""
    import numpy as np
    import polars as pl
    from PIL import Image
    from sklearn.datasets import load_digits

    numbers, kinds = load_digits(return_X_y=True)
    pictures = {}
    for at, (each, kind) in enumerate(zip(numbers[:500], kinds, strict=False)):
        pixels = np.kron(each.reshape(8, 8) * 15.9, np.ones((2, 2))).astype(np.uint8)
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG")
        pictures[f"{kind}/{at:04}.png"] = data.getvalue()
    labels = [name.partition("/")[0] for name in pictures]
    table = pl.DataFrame({"image": list(pictures), "label": labels})
    return Sample("digits", table, "label", pictures)


_SAMPLES: Final[Mapping[tuple[Reads, TaskKind], Callable[[], Sample]]] = {
    (Reads.TABLE, TaskKind.CLASSIFICATION): lambda: bundled("breast_cancer", "diagnosis"),
    (Reads.TABLE, TaskKind.REGRESSION): lambda: bundled("diabetes", "progression"),
    (Reads.TABLE, TaskKind.CLUSTERING): lambda: bundled("iris", None),
    (Reads.TABLE, TaskKind.ANOMALY_DETECTION): lambda: bundled("wine", None),
    (Reads.IMAGE, TaskKind.CLASSIFICATION): _digits,
    (Reads.TEXT, TaskKind.CLASSIFICATION): lambda: _news("about"),
    (Reads.TEXT, TaskKind.REGRESSION): lambda: _news("words"),
    (Reads.SENTENCE, TaskKind.CLASSIFICATION): lambda: _openings("about"),
    (Reads.SENTENCE, TaskKind.REGRESSION): lambda: _openings("words"),
    (Reads.SEQUENCE, TaskKind.CLASSIFICATION): lambda: _news("about"),
    (Reads.SEQUENCE, TaskKind.REGRESSION): lambda: _news("words"),
    (Reads.SEQUENCE, TaskKind.TAGGING): _names,
    (Reads.TEXT, TaskKind.TRANSLATION): _days,
}
