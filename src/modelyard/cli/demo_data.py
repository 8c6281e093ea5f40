"""The demo's table: the Wisconsin diagnostic breast cancer data that scikit-learn brings along.

569 tumours; ten measurements of the cell nuclei in an image of each, with their mean, standard
error and worst value. W. H. Wolberg, W. N. Street and O. L. Mangasarian, 1993, CC BY 4.0,
https://doi.org/10.24432/C5DW2B
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from modelyard.cli.failure import CommandFailed

TARGET: Final = "diagnosis"
_LIBRARIES: Final = ("sklearn", "polars", "pyarrow", "onnx", "skl2onnx")
HELD_BACK: Final = "held-back.csv"
_HELD_BACK_ROWS: Final = 5
_MEASUREMENTS: Final = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
)
FEATURES: Final = tuple(
    f"{statistic}_{measurement}"
    for statistic in ("mean", "error", "worst")
    for measurement in _MEASUREMENTS
)


class Tumours(NamedTuple):
    """The files that were written, and the rows of `held_back`, which training never sees."""

    known: Path
    held_back: Path
    records: list[dict[str, Any]]
    truths: list[str]


def require_libraries() -> None:
    """Raise CommandFailed when the libraries that train are not installed."""
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        raise CommandFailed(
            f"the demo trains a model, and {', '.join(missing)} cannot be found",
            hint="pip install 'modelyard[train]'",
        )


def write_tumours(folder: Path) -> Tumours:
    """Write the table as CSV, but for a few rows spread over it, which go to a file of their own.

    Raises:
        CommandFailed: scikit-learn does not bring the file, or not in this form.
    """
    rows = _read()
    step = len(rows) // _HELD_BACK_ROWS
    back = rows[::step][:_HELD_BACK_ROWS]
    known = [row for row in rows if not any(row is other for other in back)]
    write = (folder / "tumours.csv", folder / HELD_BACK)
    for path, chosen in zip(write, (known, back), strict=True):
        with path.open("w", newline="") as target:
            csv.writer(target).writerows([(*FEATURES, TARGET), *chosen])
    records = [dict(zip(FEATURES, map(float, row[:-1]), strict=True)) for row in back]
    return Tumours(*write, records, [row[-1] for row in back])


def _read() -> list[Sequence[str]]:
    """The rows: 30 numbers and the diagnosis. The file begins with counts and class names."""
    found = find_spec("sklearn")
    folder = Path(next(iter(found.submodule_search_locations or ())) if found else "")
    try:
        with (folder / "datasets" / "data" / "breast_cancer.csv").open(newline="") as source:
            heading, *rows = csv.reader(source)
    except (OSError, ValueError):
        raise CommandFailed("this scikit-learn brings no breast cancer data") from None
    names = heading[2:]
    if heading[:2] != [str(len(rows)), str(len(FEATURES))] or len(names) != 2:
        raise CommandFailed("this scikit-learn brings the breast cancer data in another form")
    return [(*row[:-1], names[int(row[-1])]) for row in rows]
