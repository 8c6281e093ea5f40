import numpy as np
import pytest

from modelyard.training.likeness import edit_distance, measure_texts


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("ab", "ba", 2)],
)
def test_edits_are_counted_either_way(one: str, other: str, distance: int) -> None:
    assert edit_distance(one, other) == edit_distance(other, one) == distance


def test_texts_are_the_same_or_alike() -> None:
    truth, said = np.array(["abcd", "ab", ""]), np.array(["abcd", "a", ""])
    assert measure_texts(truth, said) == {"exact_match": 2 / 3, "similarity": 2.5 / 3}
