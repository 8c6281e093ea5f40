"""What an estimator of scikit-learn's kind takes.

The estimator itself is asked: for its feature names, and for the encoders within it. Estimators of
other libraries (XGBoost's, LightGBM's) keep the same conventions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.core.tensors import Datatype, Tensor, TensorSpec

FEATURES: Final = "features"
"""The single input of a model whose features are all numbers."""
TEXT: Final = "text"
"""The single input of a model that begins with a text vectorizer."""
_MAX_NAMED: Final = 10_000


class Column(msgspec.Struct, frozen=True):
    """One feature. `example` is a value that the estimator has seen, as far as it tells."""

    name: str
    text: bool = False
    example: str = "some words"


def columns_of(estimator: Any) -> tuple[Column, ...]:
    """The features in order, strings told from numbers by the encoders that take them.

    Empty when the estimator does not say how many there are.
    """
    names = feature_names(estimator)
    count = len(names) or int(getattr(estimator, "n_features_in_", 0))
    if not 0 < count <= _MAX_NAMED:
        return ()
    if not names:
        names = tuple(f"x{place}" for place in range(count))
    texts = dict(_text_columns(estimator, names))
    unused = _dropped(_first_step(estimator), names) if feature_names(estimator) else frozenset()
    return tuple(
        Column(name, True, texts[name]) if name in texts else Column(name)
        for name in names
        if name not in unused
    )


def feature_names(estimator: Any) -> tuple[str, ...]:
    """The names of the columns that it was trained on; empty if it was trained on a matrix."""
    names = getattr(estimator, "feature_names_in_", None)
    return () if names is None else tuple(str(name) for name in names)


def _dropped(first: Any, names: Sequence[str]) -> frozenset[str]:
    """The columns that were there in training and are not looked at."""
    dropped: set[str] = set()
    for _, inner, chosen in getattr(first, "transformers_", ()):
        if inner == "drop":
            dropped.update(_chosen(chosen, names))
    return frozenset(dropped)


def takes_text(estimator: Any) -> bool:
    """Whether it begins with a vectorizer, which takes a list of strings."""
    return _is_vectorizer(_first_step(estimator))


def _first_step(estimator: Any) -> Any:
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif getattr(estimator, "steps", None):
            estimator = estimator.steps[0][1]
        else:
            return estimator


def _is_vectorizer(part: Any) -> bool:
    return type(part).__name__ in ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer")


def _text_columns(part: Any, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names and examples of the columns that `part` takes as strings; `names` are all it takes."""
    if hasattr(part, "best_estimator_"):
        yield from _text_columns(part.best_estimator_, names)
    elif hasattr(part, "transformers_"):
        for _, inner, chosen in part.transformers_:
            if not isinstance(inner, str):
                yield from _text_columns(inner, _chosen(chosen, names))
    elif getattr(part, "steps", None):
        for _, step in part.steps:
            yield from _text_columns(step, names)
            if not _keeps_columns(step, len(names)):
                break
    elif _is_vectorizer(part):
        yield from ((name, "some words") for name in names)
    else:
        for name, values in zip(names, _known_values(part), strict=False):
            if values.dtype.kind in "OUS" and values.size:
                example = next((v for v in values.ravel() if isinstance(v, str)), None)
                if example is not None:
                    yield name, example


def _known_values(part: Any) -> Iterator[Tensor]:
    """For each column, values that the part has learned: categories, or what replaces a gap."""
    categories = getattr(part, "categories_", None)
    if categories is not None:
        yield from (np.asarray(one) for one in categories)
        return
    fills = getattr(part, "statistics_", None)
    if fills is not None:
        yield from (np.asarray([one], dtype=np.asarray(fills).dtype) for one in fills)


def _keeps_columns(step: Any, count: int) -> bool:
    """Whether the next step sees the same columns: so it is after an imputer."""
    return len(getattr(step, "statistics_", ())) == count


def _chosen(chosen: Any, names: Sequence[str]) -> list[str]:
    if isinstance(chosen, str):
        return [chosen]
    if isinstance(chosen, slice):
        return list(names[chosen])
    array = np.atleast_1d(np.asarray(chosen))
    if array.dtype.kind == "b":
        return [name for name, taken in zip(names, array, strict=False) if taken]
    if array.dtype.kind in "iu":
        return [names[place] for place in array]
    return [str(name) for name in array]


def inputs_of(estimator: Any) -> tuple[TensorSpec, ...]:
    """The inputs in the forms of ADR 0007; empty when the estimator does not tell."""
    if takes_text(estimator):
        return (TensorSpec(TEXT, Datatype.BYTES, (-1,)),)
    columns = columns_of(estimator)
    if not columns:
        return ()
    if not any(column.text for column in columns):
        return (TensorSpec(FEATURES, Datatype.FP32, (-1, len(columns)), feature_names(estimator)),)
    return tuple(
        TensorSpec(c.name, Datatype.BYTES if c.text else Datatype.FP32, (-1,)) for c in columns
    )
