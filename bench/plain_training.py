"""What a training job is measured against: the same work as a plain script of the library's.

`python -m bench.plain_training TABLE TARGET PARAMETERS`: read the file, hold a fifth out, fit
scikit-learn's random forest, score it on what was held out, and save it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import joblib
import polars as pl
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline


def main(table: str, target: str, parameters: dict[str, Any]) -> None:
    """Train, and print the accuracy."""
    frame = pl.read_csv(table)
    matrix = frame.drop(target).to_numpy().astype("float32")
    truth = frame.get_column(target).to_numpy()
    inside, outside, known, unknown = train_test_split(
        matrix, truth, test_size=0.2, random_state=0, stratify=truth
    )
    model = make_pipeline(
        SimpleImputer(strategy="median"), RandomForestClassifier(random_state=0, **parameters)
    )
    model.fit(inside, known)
    print(model.score(outside, unknown))
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(model, Path(folder) / "model.joblib", compress=3)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
