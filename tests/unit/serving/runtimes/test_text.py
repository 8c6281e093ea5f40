import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from modelyard.core.errors import Invalid, TooLarge
from modelyard.core.tensors import Tensor
from modelyard.serving.runtimes.text import (
    MAX_CELLS,
    MAX_CHARACTERS,
    TextFeatures,
    TextInput,
    TextSpec,
)

words = st.lists(
    st.sampled_from(
        ["Good", "good", "bad", "a", "x1", "don't", "é", "été", "straße", "İki", "_", "..."]
    )
    | st.text(max_size=6)
).map(" ".join)


def features(terms: tuple[str, ...], ngrams: tuple[int, int] = (1, 2)) -> TextFeatures:
    return TextFeatures(TextSpec((TextInput("review", "counts", True, "word", ngrams, terms),)))


def strings(*texts: str) -> Tensor:
    return np.array(texts, dtype=np.object_)


@given(
    corpus=st.lists(words, min_size=1, max_size=6),
    asked=st.lists(words, min_size=1, max_size=4),
    ngrams=st.sampled_from([(1, 1), (1, 2), (2, 2), (2, 3), (1, 3)]),
)
def test_counts_are_those_of_scikit_learn(
    corpus: list[str], asked: list[str], ngrams: tuple[int, int]
) -> None:
    # A corpus without a single term cannot be fitted, so one text always has some.
    vectorizer = CountVectorizer(ngram_range=ngrams).fit([*corpus, "three known words"])
    terms = tuple(vectorizer.get_feature_names_out())

    counts = features(terms, ngrams).apply({"review": strings(*asked)})["counts"]

    np.testing.assert_array_equal(counts, vectorizer.transform(asked).toarray())


def test_other_inputs_pass_through_and_the_caller_s_mapping_stays() -> None:
    age = np.array([1.0], dtype=np.float32)
    inputs = {"review": strings("good film"), "age": age}

    tensors = features(("film", "good film")).apply(inputs)

    assert set(tensors) == {"counts", "age"}
    assert tensors["age"] is age
    assert tensors["counts"].dtype == np.float32
    assert tensors["counts"].tolist() == [[1.0, 1.0]]
    assert set(inputs) == {"review", "age"}


def test_an_empty_text_counts_nothing() -> None:
    assert features(("film",)).apply({"review": strings("")})["counts"].tolist() == [[0.0]]


def test_a_long_text_is_refused_by_row() -> None:
    with pytest.raises(TooLarge, match=r"'review' has 1000001 characters in row 1"):
        features(("film",)).apply({"review": strings("ok", "x" * (MAX_CHARACTERS + 1))})


def test_counts_beyond_the_bound_are_refused_before_they_are_made() -> None:
    wide = features(tuple(f"t{number}" for number in range(100_000)))
    rows = MAX_CELLS // 100_000 + 1
    with pytest.raises(TooLarge, match=f"at most {rows - 1} in one request"):
        wide.apply({"review": strings(*["x"] * rows)})


def test_what_was_dumped_loads_again() -> None:
    spec = features(("good", "été")).spec
    assert TextFeatures.load(spec.dump()).spec == spec


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"inputs":[{"name":"a"}]}',
        b'{"inputs":[{"name":"a","tensor":"b","lowercase":true,"tokens":"regex",'
        b'"ngrams":[1,1],"vocabulary":["x"]}]}',
        b'{"inputs":[{"name":"a","tensor":"b","lowercase":true,"tokens":"word",'
        b'"ngrams":[1,9],"vocabulary":["x"]}]}',
    ],
)
def test_what_is_no_features_artifact_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match="text features cannot be read"):
        TextFeatures.load(data)
