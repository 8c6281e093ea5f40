"""Training of what gives each token of a text its tag."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, TensorSpec
from modelyard.training.table import read
from tests import real_models
from tests.integration.training.test_train import Run

PEOPLE = ["Ada Byron", "Grace Hopper", "Alan Turing", "Emmy Noether", "Ida Rhodes"]
PLACES = ["London", "New York", "Erlangen", "Paris"]
FRAMES = [
    "{0} lives in {1} .",
    "In {1} I met {0} today .",
    "{0} and {2} went to {1} .",
    "It rains .",
]
SMALL: dict[str, Any] = {
    "embedding_dim": 24,
    "hidden_size": 24,
    "epochs": 25,
    "learning_rate": 0.01,
    "batch_size": 16,
    "min_count": 1,
    "early_stopping": False,
}
NAMES = {"nr": "PER", "ns": "LOC", "nt": "ORG"}


def told() -> list[tuple[list[str], list[str]]]:
    """Sentences with the people and places in them, word by word."""
    made = []
    for number in range(240):
        one, two = PEOPLE[number % 5], PEOPLE[(number * 3 + 1) % 5]
        words, tags = list[str](), list[str]()
        for piece in FRAMES[number % 4].split():
            name = piece.format(one, PLACES[number // 4 % 4], two)
            kind = {"{0}": "PER", "{2}": "PER", "{1}": "LOC"}.get(piece)
            for place, word in enumerate(name.split()):
                words.append(word)
                tags.append("O" if kind is None else f"{'I' if place else 'B'}-{kind}")
        made.append((words, tags))
    return made


def sentences() -> pl.DataFrame:
    rows = [(" ".join(words), " ".join(tags)) for words, tags in told()]
    return pl.DataFrame(rows, schema=["tokens", "tags"], orient="row")


def tagged(folder: Path, frame: pl.DataFrame, **spec: Any) -> Run:
    return Run(folder, frame, target="tags", task="tagging", include=["tokens"], **spec)


@pytest.mark.parametrize("algorithm", ["lstm", "transformer"])
def test_entities_are_found_and_served_as_tags(tmp_path: Path, algorithm: str) -> None:
    heads = {"num_heads": 2} if algorithm == "transformer" else {}
    run = tagged(tmp_path, sentences(), algorithm=algorithm, parameters={**SMALL, **heads})
    assert run.result.parity.agreed, run.result.parity.reason
    assert run.result.parity.label_agreement == 1.0
    metrics = run.result.card.metrics
    assert min(metrics[name] for name in ("f1", "precision", "recall", "accuracy")) > 0.95
    assert run.result.signature.inputs == (
        TensorSpec("tokens", Datatype.BYTES, (-1,), nullable=True),
    )
    assert run.result.signature.outputs == (TensorSpec("tags", Datatype.BYTES, (-1, -1)),)
    said = run.predict(tokens=["Ada Byron lives in New York .", "It rains .", ""])["tags"]
    assert said[0] == ["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"]
    assert said[1] == ["O", "O", "O", "", "", "", ""]
    assert said[2][1:] == [""] * 6


def test_lists_of_words_in_json_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "tagged.jsonl"
    rows = [{"tokens": words, "tags": tags} for words, tags in told()]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read(path, "tagged.jsonl", tmp_path).frame.equals(sentences())


@pytest.mark.parametrize("values", [[1, 2], ["New York"], [[]], [""]])
def test_other_lists_are_refused(tmp_path: Path, values: list[Any]) -> None:
    path = tmp_path / "tagged.jsonl"
    path.write_text(json.dumps({"tokens": values}))
    with pytest.raises(Invalid, match="line 1: 'tokens' holds an array; values must be plain"):
        read(path, "tagged.jsonl", tmp_path)


@pytest.mark.parametrize(
    ("change", "spec", "problem"),
    [
        (
            {"tags": pl.col("tags") + " O"},
            {},
            "row 1 has 6 tokens in 'tokens' and 7 tags in 'tags'",
        ),
        (
            {"tags": pl.col("tags").str.replace_all(r"\S+", "O")},
            {},
            "single value|1 different tags",
        ),
        ({}, {"algorithm": "ridge"}, "'ridge' does not do tagging; these do: rnn, lstm, gru"),
        ({}, {"algorithm": "auto"}, "'auto' tries nothing for tagging: name one of rnn, lstm"),
        ({}, {"parameters": {"pooling": "max"}}, "pooling belongs to whole texts"),
        ({}, {"parameters": {"loss": "focal"}}, "tags are learned by cross_entropy, not by focal"),
        ({"tags": pl.lit(1) + pl.int_range(pl.len())}, {}, "holds integers; tagging needs tags"),
    ],
)
def test_what_cannot_be_tagged_is_refused(
    tmp_path: Path, change: dict[str, pl.Expr], spec: dict[str, Any], problem: str
) -> None:
    with pytest.raises(Invalid, match=problem):
        tagged(tmp_path, sentences().with_columns(**change), **{"algorithm": "gru", **spec})


@pytest.mark.slow
def test_names_in_the_peoples_daily_are_found(tmp_path: Path) -> None:
    rows = []
    for line in real_models.peoples_daily():
        pairs = [word.rsplit("/", 1) for word in line.split() if "/" in word.strip("/")]
        kinds = [NAMES.get(kind) for _, kind in pairs]
        if 8 <= len(pairs) <= 60 and sum(map(bool, kinds)) > 1:
            tags = [
                "O" if kind is None else f"{'I' if at and kinds[at - 1] == kind else 'B'}-{kind}"
                for at, kind in enumerate(kinds)
            ]
            rows.append((" ".join(word for word, _ in pairs), " ".join(tags)))
    frame = pl.DataFrame(rows[:1000], schema=["tokens", "tags"], orient="row")
    parameters = {"embedding_dim": 64, "hidden_size": 48, "epochs": 5, "learning_rate": 0.01}
    run = tagged(tmp_path, frame, algorithm="gru", parameters=parameters)
    assert run.result.parity.agreed, run.result.parity.reason
    # By the words alone, of which many names are seen but once, and far from what is known today.
    assert run.result.card.metrics["f1"] > 0.4
    assert run.result.card.metrics["accuracy"] > 0.85
