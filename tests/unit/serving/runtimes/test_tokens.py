import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from modelyard.core.errors import TooLarge
from modelyard.serving.runtimes.text import (
    MAX_SEQUENCE_CELLS,
    PADDING,
    UNKNOWN,
    SequenceInput,
    SequenceReader,
    TextFeatures,
    TextInput,
    TextSpec,
)
from modelyard.serving.runtimes.tokens import Segmenter, tokenizer

LEXICON = {"北京": 2.0, "大学": 2.0, "北京大学": 3.0, "生": 4.0, "大学生": 3.5}


@given(
    corpus=st.lists(st.text(max_size=8), max_size=4),
    asked=st.lists(st.text(max_size=12), min_size=1, max_size=4),
)
def test_characters_are_counted_as_scikit_learn_counts_them(
    corpus: list[str], asked: list[str]
) -> None:
    vectorizer = CountVectorizer(analyzer="char", ngram_range=(1, 2)).fit([*corpus, "a 北"])
    terms = tuple(vectorizer.get_feature_names_out())
    spec = TextSpec((TextInput("text", "counts", True, "char", (1, 2), terms),))
    counts = TextFeatures(spec).apply({"text": np.array(asked, np.object_)})["counts"]
    np.testing.assert_array_equal(counts, vectorizer.transform(asked).toarray())


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("北京大学", ["北京大学"]),
        ("北京大学生", ["北京", "大学生"]),
        ("我爱北京 ok!", ["我", "爱", "北京", "ok", "!"]),
        ("", []),
    ],
)
def test_text_is_cut_at_least_cost(text: str, tokens: list[str]) -> None:
    assert Segmenter(LEXICON)(text) == tokens


@given(text=st.text(alphabet="北京大学生我 a1.", max_size=30))
def test_cutting_loses_nothing_but_spaces(text: str) -> None:
    assert "".join(Segmenter(LEXICON)(text)) == "".join(text.split())


@given(run=st.text(alphabet="北京大学生", min_size=1, max_size=8))
def test_no_other_way_to_cut_costs_less(run: str) -> None:
    unknown = max(LEXICON.values()) + 1

    def least(rest: str) -> float:
        if not rest:
            return 0.0
        ways = [LEXICON.get(rest[:end], math.inf) + least(rest[end:]) for end in range(1, 5)]
        return min(unknown + least(rest[1:]), *ways)

    cut = Segmenter(LEXICON)(run)
    assert sum(LEXICON.get(word, unknown) for word in cut) == pytest.approx(least(run))


def test_what_white_space_parts_stays_as_it_is() -> None:
    assert tokenizer("space", {})(" Ada's\tx-ray, ") == ["Ada's", "x-ray,"]
    assert tokenizer("term", {})("Ada's x-ray") == ["Ada", "'", "s", "x", "-", "ray"]


def test_tokens_become_numbers_in_their_order_and_short_texts_are_filled_up() -> None:
    spec = SequenceInput("text", "ids", True, "term", 3, ("film", "good"))
    read = SequenceReader(spec).read(["Good film", "", "bad film good film"])
    assert read.tolist() == [[3, 2, PADDING], [UNKNOWN, PADDING, PADDING], [UNKNOWN, 2, 3]]


def test_too_many_tokens_in_one_request_are_refused() -> None:
    spec = SequenceInput("text", "ids", True, "char", 10_000, ("a",))
    rows = MAX_SEQUENCE_CELLS // 10_000 + 1
    with pytest.raises(TooLarge, match=f"at most {rows - 1} of them are read in one request"):
        SequenceReader(spec).read(["a" * 10_000] * rows)
