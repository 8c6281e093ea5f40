import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.registry.card import Confusion
from modelyard.training.evaluator import check_metric, choose_metric, evaluate, score
from modelyard.training.rows import Array, Rows
from modelyard.training.spec import TaskKind

CLASSIFICATION, REGRESSION = TaskKind.CLASSIFICATION, TaskKind.REGRESSION


class Answers:
    """A model that has its answers from the table."""

    classes_ = np.array(["no", "yes"], dtype=object)

    def predict(self, features: pl.DataFrame) -> Array:
        return features["answer"].to_numpy()


class Confident(Answers):
    def predict_proba(self, features: pl.DataFrame) -> Array:
        sure = features["sure"].to_numpy()
        return np.stack([1 - sure, sure], axis=1)


def rows(truth: list[str] | list[float], **columns: list[str] | list[float]) -> Rows:
    dtype = np.object_ if isinstance(truth[0], str) else np.float64
    return Rows(pl.DataFrame(columns), np.array(truth, dtype=dtype))


SOME = rows(["no", "no", "no", "yes"], answer=["no", "no", "yes", "yes"], sure=[0.1, 0.2, 0.6, 0.9])


def test_classes_are_averaged_each_counting_the_same() -> None:
    evaluation = evaluate(CLASSIFICATION, Confident(), SOME)
    assert evaluation.metrics == {
        "accuracy": 0.75,
        "balanced_accuracy": pytest.approx((2 / 3 + 1) / 2),
        "precision": pytest.approx((1 + 1 / 2) / 2),
        "recall": pytest.approx((2 / 3 + 1) / 2),
        "f1": pytest.approx((4 / 5 + 2 / 3) / 2),
        "roc_auc": 1.0,
        "pr_auc": 1.0,
        "log_loss": pytest.approx(-np.log([0.9, 0.8, 0.4, 0.9]).mean()),
        "brier": pytest.approx((0.01 + 0.04 + 0.36 + 0.01) / 4),
        # Of the likeliest class: 0.9 said twice and right, 0.8 right, 0.6 wrong.
        "ece": pytest.approx((0.2 + 0.2 + 0.6) / 4),
    }
    assert evaluation.confusion == Confusion(("no", "yes"), ((2, 1), (0, 1)))


def test_a_metric_that_is_not_defined_is_left_out_or_refused() -> None:
    assert "roc_auc" not in evaluate(CLASSIFICATION, Answers(), SOME).metrics
    one_class = rows(["no", "no"], answer=["no", "yes"], sure=[0.1, 0.9])
    assert "roc_auc" not in evaluate(CLASSIFICATION, Confident(), one_class).metrics
    with pytest.raises(Invalid, match="roc_auc is not defined here"):
        score("roc_auc", CLASSIFICATION, Answers(), SOME)


def test_numbers() -> None:
    some = rows([0.0, 2.0, 4.0], answer=[0.0, 2.0, 1.0])
    assert evaluate(REGRESSION, Answers(), some).metrics == {
        "r2": pytest.approx(1 - 9 / 8),
        "rmse": pytest.approx(3**0.5),
        "mae": pytest.approx(1.0),
        "median_ae": 0.0,
    }
    assert score("mae", REGRESSION, Answers(), some) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("asked", "task", "classes", "chosen"),
    [
        (None, CLASSIFICATION, [30, 10], "accuracy"),
        (None, CLASSIFICATION, [31, 10], "f1"),
        ("roc_auc", CLASSIFICATION, [31, 10], "roc_auc"),
        (None, REGRESSION, [31, 10], "r2"),
    ],
)
def test_accuracy_is_chosen_only_where_it_does_not_mislead(
    asked: str | None, task: TaskKind, classes: list[int], chosen: str
) -> None:
    assert choose_metric(asked, task, np.repeat([0, 1], classes)) == chosen


def test_a_metric_of_another_task_is_refused() -> None:
    check_metric(None, REGRESSION)
    check_metric("rmse", REGRESSION)
    with pytest.raises(Invalid, match="no metric 'f1' for regression; there are: r2, rmse, mae,"):
        check_metric("f1", REGRESSION)
