"""Training on texts: how they are split, word vectors, and real corpora."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, TensorSpec
from modelyard.registry.artifact import Format
from tests import real_models
from tests.integration.training.tables import reviews
from tests.integration.training.test_train import Run

CHINESE = {
    "好": [
        "这本书写得非常好",
        "电影很精彩 演员也很棒",
        "质量不错 值得购买",
        "故事感人 画面很美",
    ],
    "坏": [
        "这本书写得非常差",
        "电影很无聊 演员也很糟",
        "质量太差 不要购买",
        "故事老套 画面很丑",
    ],
}
OPENINGS = ["我觉得", "说实话 ", "朋友们都说", "看了两遍 ", "总的来说 ", "没想到", "今天收到 "]


def chinese() -> pl.DataFrame:
    rows = [
        {"评论": opening + phrase, "verdict": verdict}
        for verdict, phrases in CHINESE.items()
        for phrase in phrases
        for opening in OPENINGS
    ]
    return pl.DataFrame(rows)


@pytest.mark.parametrize("tokens", ["auto", "characters", "jieba", "words"])
def test_chinese_is_served_as_it_was_learned(tmp_path: Path, tokens: str) -> None:
    run = Run(tmp_path, chinese(), target="verdict", algorithm="logistic_regression", tokens=tokens)
    assert run.result.parity.agreed, run.result.parity.reason
    assert run.result.parity.largest_difference is not None
    assert run.result.parity.largest_difference < 1e-5
    spec = run.features()["inputs"][0]
    kind = {"auto": "char", "characters": "char", "jieba": "segment", "words": "word"}[tokens]
    assert spec["tokens"] == kind
    assert bool(spec.get("lexicon")) == (tokens == "jieba")
    if tokens != "words":
        answer = run.predict(评论=["画面很美 演员很棒", "太差了 很无聊", ""])
        assert answer["label"][:2] == ["好", "坏"]


def test_jieba_finds_words(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"target": "verdict", "algorithm": "naive_bayes", "tokens": "jieba"}
    terms = Run(tmp_path, chinese(), **spec).features()["inputs"][0]["vocabulary"]
    assert {"电影", "演员", "购买"} <= set(terms)
    assert not {"影", "员"} & set(terms)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("weighting", ["mean", "idf"])
def test_word_vectors_are_learned_and_served(tmp_path: Path, task: str, weighting: str) -> None:
    classes = task == "classification"
    frame = reviews().with_columns((pl.col("verdict") == "praise").cast(pl.Float64).alias("grade"))
    run = Run(
        tmp_path,
        frame.drop("grade" if classes else "verdict"),
        target="verdict" if classes else "grade",
        task=task,
        algorithm="word2vec_linear",
        parameters={"vector_size": 24, "epochs": 60, "weighting": weighting, "C": 10},
    )
    card = run.result.card
    assert run.result.parity.agreed, run.result.parity.reason
    assert card.metrics["accuracy" if classes else "r2"] > (0.7 if classes else 0.3)
    assert card.features == ("review",)
    assert "column 'stars' was left out: 'word2vec_linear' reads the text alone" in card.warnings
    assert run.result.signature.inputs == (
        TensorSpec("review", Datatype.BYTES, (-1,), nullable=True),
    )
    assert {one.format for one in run.result.artifacts} >= {Format.ONNX, Format.FEATURES}
    said = run.predict(review=["a warm and funny film", "a lazy script and awful music", "", "zzz"])
    told = said["label" if classes else "prediction"]
    assert told[0] == "praise" if classes else told[0] > told[1] + 0.4
    assert told[2] == told[3]


def test_word_vectors_follow_from_the_seed(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"target": "verdict", "algorithm": "word2vec_linear"}
    runs = [
        Run(tmp_path / str(n), reviews(), seed=seed, **spec) for n, seed in enumerate((1, 1, 2))
    ]
    graphs = [(run.folder / "model.onnx").read_bytes() for run in runs]
    assert graphs[0] == graphs[1] != graphs[2]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"include": ["stars"]}, "reads one column of text, and there is none"),
        ({"include": ["review", "other"]}, "text, and there is 'review', 'other': include the one"),
        ({"parameters": {"min_count": 900}}, "no token of column 'review' occurs 900 times"),
    ],
)
def test_what_has_no_text_to_read_is_refused(
    tmp_path: Path, spec: dict[str, Any], problem: str
) -> None:
    frame = reviews().with_columns((pl.col("review") + "!").alias("other"))
    given = {"include": ["review"], **spec}
    with pytest.raises(Invalid, match=problem):
        Run(tmp_path, frame, target="verdict", algorithm="word2vec_linear", **given)


def test_texts_without_a_known_word_do_no_harm(tmp_path: Path) -> None:
    frame = reviews().with_columns(
        pl.when(pl.int_range(pl.len()) % 4 == 0).then(None).otherwise("review").alias("review")
    )
    run = Run(tmp_path, frame, target="verdict", algorithm="word2vec_linear", include=["review"])
    assert run.result.parity.agreed, run.result.parity.reason
    assert np.isfinite(run.predict(review=["", "zzz"])["probabilities"]).all()


@pytest.mark.slow
def test_chinese_reviews_reach_their_baseline(tmp_path: Path) -> None:
    frame = pl.read_csv(real_models.chinese_reviews())
    result = Run(tmp_path, frame, target="verdict", algorithm="ridge").result
    assert result.card.metrics["accuracy"] >= 0.848
    assert result.parity.agreed, result.parity.reason


@pytest.mark.slow
def test_film_sentences_reach_their_baseline(tmp_path: Path) -> None:
    frame = pl.read_csv(real_models.film_sentences())
    result = Run(tmp_path, frame, target="verdict", algorithm="naive_bayes").result
    assert result.card.metrics["accuracy"] >= 0.784
    assert result.parity.agreed, result.parity.reason


NETWORKS = ("text_mean", "text_cnn", "rnn", "lstm", "gru", "transformer")
SMALL: dict[str, dict[str, Any]] = {
    "text_mean": {"hidden_size": 16},
    "text_cnn": {"num_filters": 16, "kernel_sizes": [1, 2, 3]},
    "rnn": {"hidden_size": 16},
    "lstm": {"hidden_size": 16, "num_layers": 2, "bidirectional": False, "pooling": "last"},
    "gru": {"hidden_size": 16, "num_layers": 2, "pooling": "last"},
    "transformer": {"hidden_size": 16, "num_heads": 2, "feedforward_size": 32, "epochs": 60},
}


@pytest.mark.parametrize("algorithm", NETWORKS)
def test_every_network_reads_texts_and_is_served_as_it_is(tmp_path: Path, algorithm: str) -> None:
    parameters = {
        "embedding_dim": 16,
        "min_count": 1,
        "epochs": 30,
        "batch_size": 16,
        "learning_rate": 0.01,
        "early_stopping": False,
        **SMALL[algorithm],
    }
    spec: dict[str, Any] = {"algorithm": algorithm, "parameters": parameters}
    run = Run(tmp_path, reviews(), target="verdict", include=["review"], **spec)
    assert run.result.parity.agreed, run.result.parity.reason
    assert (run.result.parity.largest_difference or 0.0) < 1e-5
    assert run.result.card.metrics["accuracy"] > 0.8
    assert run.result.parameters["embedding_dim"] == 16
    texts = ["a warm and funny film", "a lazy script and awful music " * 40, "", "zzz"]
    together = run.predict(review=texts)["probabilities"]
    apart = [run.predict(review=[text])["probabilities"][0] for text in texts]
    np.testing.assert_allclose(together, apart, atol=1e-5)
    assert run.predict(review=texts)["label"][:2] == ["praise", "blame"]


@pytest.mark.parametrize("algorithm", ["text_cnn", "gru"])
def test_networks_predict_numbers_and_begin_at_word_vectors(tmp_path: Path, algorithm: str) -> None:
    frame = reviews().with_columns((pl.col("verdict") == "praise").cast(pl.Float64) * 100)
    parameters = {
        "embedding": "word2vec",
        "embedding_dim": 16,
        "min_count": 1,
        "epochs": 20,
        "batch_size": 16,
        "learning_rate": 0.01,
        "loss": "huber",
    }
    run = Run(
        tmp_path,
        frame,
        target="verdict",
        task="regression",
        include=["review"],
        algorithm=algorithm,
        parameters=parameters,
    )
    assert run.result.parity.agreed, run.result.parity.reason
    assert run.result.card.metrics["r2"] > 0.4
    assert run.result.parameters["embedding"] == "word2vec"
    assert "torch" in run.result.libraries
