import pytest

from modelyard.core.errors import Invalid
from modelyard.registry.card import Card
from modelyard.registry.gate import Gate


def card(metric: str = "accuracy", **metrics: float) -> Card:
    return Card("classification", "svm", metric=metric, metrics=metrics)


@pytest.mark.parametrize(
    ("gate", "objection"),
    [
        ("accuracy >= 0.9", ""),
        ("accuracy>=0.95", "accuracy is 0.9, which is not >= 0.95"),
        ("accuracy > 0.9", "accuracy is 0.9, which is not > 0.9"),
        ("rmse <= 1e-1", ""),
        ("rmse < -3", "rmse is 0.05, which is not < -3"),
        ("f1 >= 0", "f1 was not measured; there are: accuracy, rmse"),
    ],
)
def test_a_bound(gate: str, objection: str) -> None:
    assert Gate.parse(gate).objection(card(accuracy=0.9, rmse=0.05), None) == objection


def test_a_rival_is_compared_by_the_metric_that_was_chosen() -> None:
    gate = Gate.parse("not worse  than @champion")
    assert gate.rival == "champion"
    assert gate.objection(card(accuracy=0.9), None) == ""
    assert gate.objection(card(accuracy=0.9), card(accuracy=0.9)) == ""
    worse = gate.objection(card(accuracy=0.9), card(accuracy=0.91))
    assert worse == "accuracy is 0.9, that of @champion is 0.91"
    assert gate.objection(card("rmse", rmse=2), card("rmse", rmse=3)) == ""
    assert "that of @champion" in gate.objection(card("rmse", rmse=3), card("rmse", rmse=2))
    assert gate.objection(card(f1=1), card(f1=1)) == "accuracy was not measured of both"


@pytest.mark.parametrize(
    "text", ["", "accuracy", "accuracy = 1", "accuracy >= high", "better than @x", "a" * 10_000]
)
def test_what_is_no_gate(text: str) -> None:
    with pytest.raises(Invalid, match=r"is not understood; expected a metric and its bound"):
        Gate.parse(text)
