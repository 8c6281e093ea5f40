"""Training on windows of time series."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, TensorSpec
from tests.integration.training.test_train import Run

STEPS = 300


def load() -> pl.DataFrame:
    """Hours of two plants: a wave that follows the temperature of three hours before."""
    dice = np.random.default_rng(3)
    parts = []
    for plant, height in (("north", 10.0), ("south", 30.0)):
        hours = pl.datetime_range(
            pl.datetime(2026, 1, 1), pl.datetime(2026, 2, 1), "1h", time_unit="us", eager=True
        ).head(STEPS)
        warm = np.sin(np.arange(STEPS) * 2 * np.pi / 24) + dice.normal(0, 0.3, STEPS)
        used = height * (2 + np.roll(warm, 3)) + dice.normal(0, 0.1, STEPS)
        state = np.where(np.roll(warm, 2) > 0, "busy", "calm")
        parts.append(
            pl.DataFrame(
                {"hour": hours, "plant": plant, "warm": warm, "used": used, "state": state}
            )
        )
    # The order of the rows in the file says nothing.
    return pl.concat(parts).sample(fraction=1.0, shuffle=True, seed=1)


SPEC: dict[str, Any] = {
    "target": "used",
    "time_column": "hour",
    "series_column": "plant",
    "window": 6,
}
SMALL: dict[str, Any] = {"hidden_size": 16, "epochs": 12, "learning_rate": 0.01, "batch_size": 32}


@pytest.mark.parametrize("algorithm", ["ridge", "gru", "transformer"])
def test_the_next_value_is_forecast(tmp_path: Path, algorithm: str) -> None:
    parameters: dict[str, Any] = {}
    if algorithm != "ridge":
        parameters = {**SMALL, **({"num_heads": 2} if algorithm == "transformer" else {})}
    run = Run(tmp_path, load(), algorithm=algorithm, parameters=parameters, **SPEC)
    assert run.result.parity.agreed, run.result.parity.reason
    assert run.result.card.metrics["r2"] > 0.9
    names = tuple(
        f"{name}[{at}]"
        for at in ("t-5", "t-4", "t-3", "t-2", "t-1", "t")
        for name in ("warm", "used")
    )
    assert run.result.signature.inputs == (
        TensorSpec("features", Datatype.FP32, (-1, 12), names, nullable=True),
    )
    split = run.result.card.split
    assert split is not None
    assert split.method == "time"
    window = [[0.5, 25.0] * 6, [-0.5, 15.0] * 6]
    told = run.predict(features=window)["prediction"]
    assert len(told) == 2
    assert np.isfinite(told).all()


def test_no_window_reaches_over_the_end_of_its_series(tmp_path: Path) -> None:
    card = Run(tmp_path, load(), algorithm="ridge", **SPEC, horizon=3).result.card
    assert card.train_rows + card.test_rows == 2 * (STEPS - 6 - 3 + 1)


def test_windows_are_told_apart(tmp_path: Path) -> None:
    spec = {**SPEC, "target": "state", "horizon": 0, "algorithm": "gru", "parameters": SMALL}
    run = Run(tmp_path, load(), **spec)
    assert run.result.parity.agreed, run.result.parity.reason
    assert run.result.card.metrics["accuracy"] > 0.85
    assert run.result.signature.outputs[1].columns == ("busy", "calm")


def test_the_value_itself_is_not_in_a_window_that_tells_it(tmp_path: Path) -> None:
    run = Run(tmp_path, load(), algorithm="ridge", **{**SPEC, "horizon": 0})
    assert all(name.startswith("warm[") for name in run.result.card.features)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"time_column": None}, "windows need 'time_column'"),
        ({"series_column": SPEC["time_column"]}, "is the time or the target as well"),
        ({"series_column": "region"}, "there is no column 'region' to make windows of"),
        ({"include": ["state"]}, "column 'state' cannot be in windows"),
        ({"exclude": ["warm", "used"]}, "no column of numbers is left"),
        ({"window": 500}, "no series has the 501 steps"),
        ({"algorithm": "text_cnn"}, "'text_cnn' reads one column of text"),
        (
            {"algorithm": "gru", "parameters": {"embedding_dim": 8}},
            "embedding_dim belongs to texts",
        ),
    ],
)
def test_what_makes_no_windows_is_refused(
    tmp_path: Path, spec: dict[str, Any], problem: str
) -> None:
    with pytest.raises(Invalid, match=problem):
        Run(tmp_path, load(), **{"algorithm": "ridge", **SPEC, **spec})
