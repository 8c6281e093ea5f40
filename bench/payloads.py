"""One scenario's request in the dialects of the servers, and the labels out of their answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec
import numpy as np

from bench.models import Array, Model
from bench.scenarios import Scenario

HEADER_LENGTH: Final = "Inference-Header-Content-Length"


class Dialect(StrEnum):
    """How a server wants its tensors."""

    V2 = "Open Inference Protocol v2"
    V2_JSON = "Open Inference Protocol v2 without binary tensor data"
    INSTANCES = '{"instances": [[...]]}'
    X = '{"x": [[...]]}'


class Payload(msgspec.Struct, frozen=True):
    """A request's body, the headers that belong to it, and the labels that answer it."""

    body: bytes
    headers: dict[str, str]
    labels: list[int]


def payload(scenario: Scenario, model: Model, dialect: Dialect) -> Payload | None:
    """The request; None when the dialect has no such form."""
    rows, labels = model.rows[: scenario.rows], model.labels[: scenario.rows]
    if scenario.form == "binary":
        return _binary(rows, labels) if dialect is Dialect.V2 else None
    return Payload(msgspec.json.encode(_document(rows, dialect)), _JSON, labels)


def labels_in(body: bytes, header_length: str | None = None) -> list[int]:
    """The labels of an answer in any of the dialects.

    Raises:
        ValueError: an answer without labels.
    """
    text = body if header_length is None else body[: int(header_length)]
    try:
        answer = msgspec.json.decode(text)
        if isinstance(answer, list):
            found = answer
        else:
            found = _output(answer["outputs"]) if "outputs" in answer else answer["label"]
    except (msgspec.DecodeError, KeyError, TypeError, StopIteration):
        raise ValueError(f"no labels in the answer {body[:200]!r}") from None
    return [int(label) for label in np.ravel(found)]


_JSON: Final = {"Content-Type": "application/json"}


def _document(rows: Array, dialect: Dialect) -> dict[str, Any]:
    # The shortest text that is still the same float32, as most clients write it.
    values = np.array([float(str(value)) for value in rows.ravel()]).reshape(rows.shape)
    if dialect is Dialect.INSTANCES:
        return {"instances": values.tolist()}
    if dialect is Dialect.X:
        return {"x": values.tolist()}
    return {"inputs": [{**_head(rows), "data": values.ravel().tolist()}]}


def _binary(rows: Array, labels: list[int]) -> Payload:
    head = msgspec.json.encode(
        {"inputs": [{**_head(rows), "parameters": {"binary_data_size": rows.nbytes}}]}
    )
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return Payload(head + rows.tobytes(), headers, labels)


def _head(rows: Array) -> dict[str, Any]:
    return {"name": "X", "shape": list(rows.shape), "datatype": "FP32"}


def _output(outputs: list[dict[str, Any]]) -> Any:
    return next(output for output in outputs if output["name"] == "label")["data"]
