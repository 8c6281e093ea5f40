import pytest

from modelyard.core.errors import Invalid
from modelyard.registry.card import Card
from modelyard.registry.evaluation import Comparison, Interval
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
    assert worse == "accuracy is 0.9, that of @champion is 0.91, each on held-out rows of its own"
    assert gate.objection(card("rmse", rmse=2), card("rmse", rmse=3)) == ""
    assert "that of @champion" in gate.objection(card("rmse", rmse=3), card("rmse", rmse=2))
    assert gate.objection(card(f1=1), card(f1=1)) == "accuracy was not measured of both"


def compared(metric: str, mine: float, theirs: float, reason: str = "") -> Comparison:
    interval = Interval(mine - theirs - 0.02, mine - theirs + 0.02)
    return Comparison(
        "champion", 3, metric, mine, theirs, mine - theirs, interval, 100, reason=reason
    )


@pytest.mark.parametrize(
    ("gate", "metric", "mine", "theirs", "passes"),
    [
        ("not worse than @champion", "accuracy", 0.9, 0.9, True),
        ("not worse than @champion", "accuracy", 0.89, 0.9, False),
        ("not worse than @champion by more than 0.01", "accuracy", 0.89, 0.9, True),
        ("not worse than @champion by more than 0.01", "accuracy", 0.88, 0.9, False),
        ("not worse than @champion by more than 1e-2", "log_loss", 0.31, 0.3, True),
        ("not worse than @champion by more than 1e-2", "log_loss", 0.32, 0.3, False),
        ("not worse than @champion", "log_loss", 0.2, 0.3, True),
    ],
)
def test_two_versions_on_the_same_rows_decide_before_their_cards(
    gate: str, metric: str, mine: float, theirs: float, passes: bool
) -> None:
    # By the cards alone it would be the other way round.
    other = {metric: mine if passes == (metric == "log_loss") else theirs}
    mine_card = card(metric, **{metric: theirs if passes == (metric == "log_loss") else mine})
    objection = Gate.parse(gate).objection(
        mine_card, card(metric, **other), compared(metric, mine, theirs)
    )
    assert (objection == "") == passes
    if not passes:
        assert "that of @champion on the same 100 rows is" in objection
        assert "; the difference lies between" in objection


def test_without_the_same_rows_the_cards_decide_and_it_is_said_why() -> None:
    gate = Gate.parse("not worse than @champion by more than 0.05")
    unfit = compared("accuracy", 0, 0, "it takes a column 'gone', which the table does not have")
    assert gate.objection(card(accuracy=0.9), card(accuracy=0.94), unfit) == ""
    assert gate.objection(card(accuracy=0.9), card(accuracy=0.96), unfit).endswith(
        "each on held-out rows of its own (it takes a column 'gone', which the table does not have)"
    )


@pytest.mark.parametrize(
    "text", ["", "accuracy", "accuracy = 1", "accuracy >= high", "better than @x", "a" * 10_000]
)
def test_what_is_no_gate(text: str) -> None:
    with pytest.raises(Invalid, match=r"is not understood; expected a metric and its bound"):
        Gate.parse(text)
