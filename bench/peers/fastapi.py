"""FastAPI as a tutorial writes it: a pydantic body, a plain function, lists out."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from bench.peers.session import load, names


class Rows(BaseModel):
    """Rows of numbers."""

    instances: list[list[float]]


class Images(BaseModel):
    """Images by channel, row and column."""

    instances: list[list[list[list[float]]]]


app = FastAPI()
models = {name: load(name) for name in names()}


@app.post("/predict/image")
def predict_image(body: Images) -> dict[str, Any]:
    """The image model's outputs."""
    return _listed("image", body.instances)


@app.post("/predict/{model}")
def predict(model: str, body: Rows) -> dict[str, Any]:
    """Any other model's outputs."""
    return _listed(model, body.instances)


def _listed(model: str, rows: Any) -> dict[str, Any]:
    return {name: output.tolist() for name, output in models[model](rows).items()}
