"""Real tables, and two made up ones with what real tables have: holes, categories, text."""

from typing import Any

import numpy as np
import polars as pl
from sklearn import datasets

PHRASES = {
    "praise": [
        "a warm and funny film with a wonderful cast",
        "the best story that I have seen this year",
        "beautiful pictures and a moving ending",
        "I laughed from the first scene to the last",
        "a clever script and great music",
    ],
    "blame": [
        "a dull and endless film with a wooden cast",
        "the worst story that I have seen this year",
        "ugly pictures and a silly ending",
        "I slept from the first scene to the last",
        "a lazy script and awful music",
    ],
}
OPENINGS = [
    "Honestly,",
    "To my surprise:",
    "My friends say it is",
    "After two hours I thought:",
    "In short,",
    "What can I say?",
    "For once",
    "As so often:",
]


def bundled(name: str) -> pl.DataFrame:
    """A data set that comes with scikit-learn; the target of iris and the like in words."""
    bunch: Any = getattr(datasets, f"load_{name}")()
    frame = pl.DataFrame(
        {str(column): bunch.data[:, place] for place, column in enumerate(bunch.feature_names)}
    )
    target = bunch.target
    if name in ("iris", "wine", "breast_cancer"):
        target = np.array(bunch.target_names)[target].tolist()
    return frame.with_columns(pl.Series("target", target))


def customers(rows: int = 600, seed: int = 0, *, number: bool = False) -> pl.DataFrame:
    """Made up: numbers, truth values and categories with holes, an identifier, and a target that
    follows from them but for some noise. `number` makes the target a number."""
    dice = np.random.default_rng(seed)
    age = dice.integers(18, 80, rows).astype(float)
    income = np.exp(dice.normal(10, 0.5, rows))
    plan = dice.choice(["basic", "plus", "pro", "née"], rows, p=[0.5, 0.3, 0.15, 0.05])
    region = dice.choice([f"region {place}" for place in range(12)], rows)
    active = dice.random(rows) < 0.6
    risk = 0.04 * (age - 45) - 1.6 * (plan == "pro") + 0.9 * (plan == "basic") - 1.1 * active
    risk += 0.6 * np.log(income / 22_000) + dice.normal(0, 0.3, rows)

    def holes(values: Any, share: float) -> list[Any]:
        return [None if dice.random() < share else value for value in values.tolist()]

    return pl.DataFrame(
        {
            "customer_id": np.arange(rows) + 1000,
            "age": holes(age, 0.08),
            "income": holes(income, 0.1),
            "plan": holes(plan, 0.06),
            "region": holes(region, 0.03),
            "active": holes(active, 0.05),
            "target": 1000 * risk + 5000 if number else risk > 0,
        }
    )


def reviews() -> pl.DataFrame:
    """Made up: 80 short reviews, one of them without a text, and their stars."""
    rows = [
        {"review": f"{opening} {phrase}.", "stars": stars, "verdict": verdict}
        for verdict, phrases in PHRASES.items()
        for phrase in phrases
        for stars, opening in enumerate(OPENINGS)
    ]
    rows[3]["review"] = None
    return pl.DataFrame(rows)
