from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.bare import read
from bench.models import Model
from bench.payloads import HEADER_LENGTH, Dialect, labels_in, payload
from bench.scenarios import LETTERS, Scenario, chosen

ROWS = np.random.default_rng(0).random((4, 64), dtype=np.float32)
MODEL = Model("logistic", Path("none"), ROWS, [0, 1, 1, 0])


@pytest.mark.parametrize("form", ["json", "binary"])
def test_every_form_carries_the_same_bits(form: str) -> None:
    scenario = msgspec.convert(
        {
            "letter": "X",
            "title": "",
            "model": "logistic",
            "connections": 1,
            "rows": 3,
            "form": form,
        },
        Scenario,
    )

    request = payload(scenario, MODEL, Dialect.V2)

    assert request is not None
    assert request.labels == [0, 1, 1]
    length = request.headers.get(HEADER_LENGTH)
    given = read(request.body, None if length is None else int(length))
    np.testing.assert_array_equal(given, ROWS[:3])


@pytest.mark.parametrize(("dialect", "name"), [(Dialect.INSTANCES, "instances"), (Dialect.X, "x")])
def test_the_peers_own_dialects_carry_the_same_rows(dialect: Dialect, name: str) -> None:
    request = payload(Scenario("X", "", "logistic", 1, rows=2), MODEL, dialect)

    assert request is not None
    rows = np.array(msgspec.json.decode(request.body)[name], np.float32)
    np.testing.assert_array_equal(rows, ROWS[:2])


def test_only_who_speaks_the_extension_is_sent_binary_data() -> None:
    scenario = Scenario("X", "", "logistic", 1, form="binary")

    assert [dialect for dialect in Dialect if payload(scenario, MODEL, dialect)] == [Dialect.V2]


@pytest.mark.parametrize(
    ("answer", "header_length"),
    [
        (b'{"outputs":[{"name":"p","data":[0.5]},{"name":"label","data":[[1],[0]]}]}', None),
        (b'{"outputs":[{"name":"label","data":[1,0]}]}\x00\x01', "43"),
        (b'{"label":[1,0],"scores":[[0.1],[0.2]]}', None),
        (b"[1,0]", None),
    ],
)
def test_labels_are_found_in_every_answer(answer: bytes, header_length: str | None) -> None:
    assert labels_in(answer, header_length) == [1, 0]


@pytest.mark.parametrize("answer", [b"", b"oops", b'{"error":"no"}', b'{"outputs":[]}', b"null"])
def test_an_answer_without_labels_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ValueError, match="no labels"):
        labels_in(answer)


def test_scenarios_are_chosen_by_letter() -> None:
    assert chosen("d, b") == ["B", "D"]
    assert chosen("") == list(LETTERS)
    with pytest.raises(ValueError, match="no scenario Q"):
        chosen("B,Q")
