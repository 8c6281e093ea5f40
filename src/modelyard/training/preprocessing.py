"""Preprocessing: from the columns of a table to the matrix that an algorithm learns from.

A missing number is NaN, a missing string is empty: what a caller of the served model sends too.
A missing category is a category of its own; one that training never saw counts as a rare one, or
as none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.serving.runtimes.dates import PARTS, date_parts
from modelyard.serving.runtimes.tokens import Segmenter
from modelyard.training.dataset import ColumnType
from modelyard.training.pixels import pixels_of
from modelyard.training.problem import Problem, Role
from modelyard.training.spec import TaskKind
from modelyard.training.splitting import lexicon_of, tokens_for
from modelyard.training.treatment import Encoding, Imputation, Scaling, Treatment

if TYPE_CHECKING:
    import polars as pl

MAX_CATEGORIES: Final = 100
"""Of one column; the rarer ones share a place."""
MAX_VOCABULARY: Final = 20_000
"""Of all text columns together."""
MAX_DENSE: Final = 200_000_000
"""Cells of a dense matrix: 800 MB."""

NUMBERS: Final = "numbers"
MISSING: Final = "missing"
CATEGORY: Final = "category"
DATE: Final = "date"
TEXT: Final = "text"
PIXELS: Final = "pixels"
"""The part, and the column that pictures' pixels are in beside their files."""
VECTORS: Final = "\x00vectors"
"""The same of the vectors of texts."""

Transformer = Any
"""A scikit-learn transformer: the library ships no types."""


def features_of(frame: pl.DataFrame, problem: Problem) -> pl.DataFrame:
    """The features as they are trained on and served: float32 with NaN, strings without null.

    Pictures' files are decoded here, once.
    """
    import polars as pl

    nan = pl.lit(float("nan"), pl.Float32)
    columns: list[pl.Expr | pl.Series] = []
    for name, role in problem.features.items():
        if role is Role.NUMBER:
            number = pl.col(name).cast(pl.Float32)
            finite = pl.when(number.is_finite()).then(number).otherwise(nan)
            columns.append(finite.alias(name))
        elif problem.picture is not None:
            files = frame.get_column(name)
            columns += [files, pixels_of(files, problem.picture).alias(PIXELS)]
        elif role is Role.DATE:
            columns.append(pl.col(name).dt.to_string("iso:strict").fill_null(""))
        else:
            columns.append(pl.col(name).cast(pl.String).fill_null(""))
    return frame.select(columns)


def target_of(frame: pl.DataFrame, problem: Problem) -> np.ndarray[Any, Any]:
    """The target: float64 for regression; int64 or strings for classes; zeros where there is none.

    Truth values become the strings `true` and `false`.
    """
    import polars as pl

    if not problem.task.supervised:
        return np.zeros(frame.height)
    series = frame.get_column(problem.target)
    if problem.task is TaskKind.REGRESSION:
        return series.cast(pl.Float64).to_numpy()
    if problem.target_type is ColumnType.INTEGER:
        return series.cast(pl.Int64).to_numpy()
    return np.array(series.cast(pl.String).to_list(), dtype=object)


def preprocessor(problem: Problem, features: pl.DataFrame, *, scaled: bool) -> Transformer:
    """An unfitted transformer of such features into a float32 matrix.

    The matrix is sparse with text, or where it would be too large; kernels and trees want it dense.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import FunctionTransformer

    if problem.picture is not None:
        pixels = FunctionTransformer(_pixels, kw_args={"scaled": scaled})
        return ColumnTransformer([(PIXELS, pixels, PIXELS)], sparse_threshold=0.0)
    if problem.embedded:
        vectors = FunctionTransformer(_vectors)
        return ColumnTransformer([(VECTORS, vectors, VECTORS)], sparse_threshold=0.0)
    parts: list[tuple[str, Transformer, Any]] = []

    def add(kind: str, transformer: Transformer, columns: Any) -> None:
        # By place: scikit-learn takes no name with two underscores, and columns may have them.
        parts.append((f"{kind}{len(parts)}", transformer, columns))

    for treatment, names in _alike(problem):
        add(NUMBERS, _numbers(treatment, scaled=scaled), names)
    flagged = [n for n in problem.named(Role.NUMBER) if problem.treatment(n).indicator]
    if flagged:
        add(MISSING, FunctionTransformer(_missing), flagged)
    for name in problem.named(Role.DATE):
        add(DATE, _dates(name, problem.treatment(name), scaled=scaled), name)
    for name in problem.named(Role.CATEGORY):
        encoding = problem.treatment(name).encode or Encoding.ONE_HOT
        add(CATEGORY, _encoder(encoding, problem.task), [name])
    texts = problem.named(Role.TEXT)
    for name in texts:
        most = MAX_VOCABULARY // len(texts)
        add(TEXT, _counts(features.get_column(name), problem, most), name)
    return ColumnTransformer(parts, sparse_threshold=0.0 if _fits(problem, features) else 1.0)


def _alike(problem: Problem) -> list[tuple[Treatment, list[str]]]:
    """The numbers that are filled and scaled in the same way, together."""
    found: dict[Treatment, list[str]] = {}
    for name in problem.named(Role.NUMBER):
        treatment = msgspec.structs.replace(problem.treatment(name), indicator=None)
        found.setdefault(treatment, []).append(name)
    return list(found.items())


def _missing(numbers: pl.DataFrame) -> np.ndarray[Any, Any]:
    return np.isnan(np.asarray(numbers, np.float32)).astype(np.float32)


def _encoder(encoding: Encoding, task: TaskKind) -> Transformer:
    """Of one column of categories, of which the missing one is one."""
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

    if encoding is Encoding.ORDINAL:
        return OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=-1,
            max_categories=MAX_CATEGORIES,
            dtype=np.float32,
        )
    if encoding is Encoding.TARGET:
        # Cross-fitted: what a row learns of its category comes from other rows.
        kind = "continuous" if task is TaskKind.REGRESSION else "auto"
        return TargetEncoder(target_type=kind, random_state=0)
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, dtype=np.float32
    )


def _counts(texts: pl.Series, problem: Problem, most: int) -> Transformer:
    """Words or characters, and their neighbours, weighted by how rare they are."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    tokens = tokens_for(texts, problem.tokens, spaced="word")
    options: dict[str, Any] = {"ngram_range": (1, 2), "max_features": most, "dtype": np.float32}
    if tokens == "char":
        return TfidfVectorizer(analyzer="char", **options)
    if tokens == "segment":
        cut = Segmenter(lexicon_of(texts))
        return TfidfVectorizer(tokenizer=cut, token_pattern=None, **options)
    return TfidfVectorizer(**options)


def _fits(problem: Problem, features: pl.DataFrame) -> bool:
    """Whether the matrix may be dense."""
    if problem.named(Role.TEXT):
        return False
    width = len(problem.named(Role.NUMBER)) + len(PARTS) * len(problem.named(Role.DATE))
    width += sum(
        min(features.get_column(name).n_unique(), MAX_CATEGORIES)
        for name in problem.named(Role.CATEGORY)
    )
    return features.height * width <= MAX_DENSE


def _pixels(rows: pl.Series, *, scaled: bool) -> np.ndarray[Any, Any]:
    """UINT8, or for algorithms that want inputs of like size FP32 from 0 to 1."""
    pixels = rows.to_numpy()
    return pixels / np.float32(255) if scaled else pixels


def _vectors(rows: pl.Series) -> np.ndarray[Any, Any]:
    return rows.to_numpy()


def _dates(name: str, treatment: Treatment, *, scaled: bool) -> Transformer:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    read = FunctionTransformer(_parts_of, kw_args={"name": name})
    return Pipeline([("read", read), *_numbers(treatment, scaled=scaled).steps])


def _parts_of(dates: pl.Series, name: str) -> np.ndarray[Any, Any]:
    return date_parts(dates.to_numpy(), name)


def _numbers(treatment: Treatment, *, scaled: bool) -> Transformer:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    steps: list[tuple[str, Transformer]] = [
        # Left to itself, scikit-learn makes float64 of a table of float32.
        ("narrow", FunctionTransformer(np.asarray, kw_args={"dtype": np.float32})),
        (
            "impute",
            SimpleImputer(
                strategy=str(treatment.impute or Imputation.MEDIAN),
                fill_value=treatment.fill,
                keep_empty_features=True,
            ),
        ),
    ]
    scaling = treatment.scale or (Scaling.STANDARD if scaled else Scaling.NONE)
    if scaling is not Scaling.NONE:
        steps.append(("scale", _scaler(scaling)))
    return Pipeline(steps)


def _scaler(scaling: Scaling) -> Transformer:
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    kinds = {Scaling.MIN_MAX: MinMaxScaler, Scaling.ROBUST: RobustScaler}
    return kinds.get(scaling, StandardScaler)()
