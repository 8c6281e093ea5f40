import numpy as np
import pytest

from modelyard.training.entities import Entity, entities_of, measure_tags


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O O", []),
        ("B-PER I-PER O B-LOC", [(0, 2, "PER"), (3, 4, "LOC")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("I-PER I-LOC I-LOC", [(0, 1, "PER"), (1, 3, "LOC")]),
        ("S-PER B-LOC I-LOC E-LOC I-LOC", [(0, 1, "PER"), (1, 4, "LOC"), (4, 5, "LOC")]),
        ("n v n", [(0, 1, "n"), (1, 2, "v"), (2, 3, "n")]),
        ("n n", [(0, 1, "n"), (1, 2, "n")]),
        ("X-ray O", [(0, 1, "X-ray")]),
    ],
)
def test_runs_of_tags_are_entities(tags: str, found: list[tuple[int, int, str]]) -> None:
    assert entities_of(tags.split()) == [Entity(*one) for one in found]


def test_an_entity_is_found_with_both_ends_and_type_or_not_at_all() -> None:
    truth = np.array(["B-PER I-PER O", "B-LOC O B-PER"], dtype=object)
    said = np.array(["B-PER O O", "B-LOC O B-LOC"], dtype=object)
    measured = measure_tags(truth, said)
    assert measured == pytest.approx(
        {"f1": 1 / 3, "precision": 1 / 3, "recall": 1 / 3, "accuracy": 4 / 6}
    )


def test_what_was_cut_off_is_missed() -> None:
    truth = np.array(["O B-PER B-LOC"], dtype=object)
    measured = measure_tags(truth, np.array(["O B-PER"], dtype=object))
    assert measured["recall"] == 0.5
    assert measured["precision"] == 1.0


def test_nothing_found_is_zero() -> None:
    truth = np.array(["B-PER"], dtype=object)
    assert measure_tags(truth, np.array(["O"], dtype=object))["f1"] == 0.0
