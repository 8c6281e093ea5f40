"""Requests that call a deployment, made from what its model takes: something to begin with.

Each is one row with every value in its place; it is the caller's to put in values that mean
something.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from modelyard.core.tensors import Datatype, Signature, TensorSpec

MAX_ELEMENTS: Final = 256
"""Of one tensor; what takes larger ones is not shown."""

GENERATES: Final = "text-generation"
EMBEDS: Final = "text-embedding"
"""Tasks of models that OpenAI's routes serve."""

_TEXT: Final = "Hello"
_PICTURE: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
)
"""A PNG of one pixel."""
_NO_JSON: Final = frozenset({Datatype.FP16, Datatype.BF16})


class CallExample(msgspec.Struct, frozen=True):
    """A request that the deployment answers, under the name that it is called by in `path` or in
    `body`.
    """

    protocol: Annotated[str, Meta(examples=["v2"], description="`v2`, `v1` or `openai`.")]
    method: str
    path: str
    body: dict[str, Any]


def call_examples(name: str, signature: Signature, task: str) -> tuple[CallExample, ...]:
    """By each protocol that it can be called by in JSON."""
    found = [*_openai(name, task)]
    needed = [spec for spec in signature.inputs if not spec.optional]
    shown = all(spec.datatype not in _NO_JSON and _size(spec) <= MAX_ELEMENTS for spec in needed)
    if needed and shown:
        inputs = [_tensor(spec) for spec in needed]
        found.append(CallExample("v2", "POST", f"/v2/models/{name}/infer", {"inputs": inputs}))
        if all(spec.shape[:1] == (-1,) for spec in (*signature.inputs, *signature.outputs)):
            body = {"instances": [_instance(signature, needed)]}
            found.append(CallExample("v1", "POST", f"/v1/models/{name}:predict", body))
    return tuple(found)


def _openai(name: str, task: str) -> list[CallExample]:
    if task == GENERATES:
        chat = {"model": name, "messages": [{"role": "user", "content": _TEXT}]}
        return [CallExample("openai", "POST", "/v1/chat/completions", chat)]
    if task == EMBEDS:
        asked = {"model": name, "input": _TEXT}
        return [CallExample("openai", "POST", "/v1/embeddings", asked)]
    return []


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "shape": [max(1, size) for size in spec.shape],
        "datatype": spec.datatype.value,
        "data": [_value(spec)] * _size(spec),
    }


def _instance(signature: Signature, needed: list[TensorSpec]) -> Any:
    """A record by name; of a model of one input that has no columns, the input's value."""
    if len(signature.inputs) == 1 and not needed[0].columns:
        value = _row(needed[0], needed[0].shape[1:])
        return {"b64": value} if needed[0].binary and isinstance(value, str) else value
    record: dict[str, Any] = {}
    for spec in needed:
        if spec.columns:
            record |= dict.fromkeys(spec.columns, _value(spec))
        else:
            record[spec.name] = _row(spec, spec.shape[1:])
    return record


def _row(spec: TensorSpec, shape: tuple[int, ...]) -> Any:
    if not shape:
        return _value(spec)
    return [_row(spec, shape[1:])] * max(1, shape[0])


def _value(spec: TensorSpec) -> Any:
    if spec.datatype is Datatype.BYTES:
        return _PICTURE if spec.binary else _TEXT
    if spec.datatype is Datatype.BOOL:
        return True
    return 1.0 if spec.datatype in (Datatype.FP32, Datatype.FP64) else 1


def _size(spec: TensorSpec) -> int:
    return math.prod(max(1, size) for size in spec.shape)
