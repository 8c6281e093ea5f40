"""KServe V1 `:predict`: instances in, predictions out, by the model's signature.

An instance is a record (an object by column or input name), a row (a list in the signature's
order), or, for a model of one input, that input's value for one row. A missing key of a record,
or null, is a missing value where the model takes one. Bytes that are no text are `{"b64": ...}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import orjson

from modelyard.api.http import HttpRequest, HttpResponse
from modelyard.api.inference.binary import decode_elements, is_b64
from modelyard.api.inference.failures import failure
from modelyard.api.inference.tensors import check_value, encode_rows, kind_of, to_array
from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.exchange import Answer, Asked
from modelyard.serving.snapshot import Route


class PredictRequest(msgspec.Struct):
    """The request's body."""

    instances: list[Any]


_decode: Final = msgspec.json.Decoder(PredictRequest).decode


class V1Codec:
    """One `:predict` request."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @property
    def size(self) -> int:
        """The body's size in bytes."""
        return len(self._request.body)

    def decode(self, route: Route) -> Asked:
        """The instances as tensors. Raises Invalid."""
        return Asked(_decode_instances(self._request.body, route))

    def encode(self, route: Route, asked: Asked, outputs: dict[str, Tensor]) -> Answer:
        """The predictions."""
        body = _encode_predictions(route, outputs)
        return Answer(200, HttpResponse(200, body), len(body))

    def fail(self, error: ModelyardError) -> Answer:
        """`{"error": ...}` with the status that belongs to it."""
        return failure(error)


def _decode_instances(body: bytes | memoryview, route: Route) -> dict[str, Tensor]:
    """The inputs by name.

    Raises:
        Invalid: not JSON, not of this form, or instances that do not fit the signature; the
            message names the instance and the column.
    """
    try:
        instances = _decode(body).instances
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body is not a predict request: {error}") from None
    except RecursionError:
        raise Invalid("the body is nested too deeply") from None
    if not instances:
        raise Invalid("instances is empty")
    signature = route.signature
    fields = _fields(signature)
    spec = _bare_input(signature, instances[0])
    if spec is not None:
        if spec.columns:
            _check_rows(instances, spec.columns)
        return {spec.name: _stack(spec, instances)}
    if isinstance(instances[0], dict):
        return _from_records(instances, signature, fields)
    return _from_records(_named(instances, fields), signature, fields)


def _bare_input(signature: Signature, first: Any) -> TensorSpec | None:
    """The input whose values the instances are; None where they are records, or rows of several."""
    needed = [spec for spec in signature.inputs if not spec.optional]
    if len(needed) != 1:
        return None
    (spec,) = needed
    if isinstance(first, dict):
        return spec if spec.binary and is_b64(first) else None
    if isinstance(first, list) and len(signature.inputs) > 1:
        return None
    return spec


def _encode_predictions(route: Route, outputs: dict[str, Tensor]) -> bytes:
    """The response's body.

    A model of one output gives its rows; one of several gives a record per row, in which what has
    names for its columns is an object. A classifier of two outputs gives its labels, and its
    probabilities are left to the V2 protocol.

    Raises:
        Invalid: the model's outputs do not come in rows.
    """
    counts = {tensor.shape[:1] for tensor in outputs.values()}
    if len(counts) != 1 or () in counts:
        raise Invalid("the outputs of this model do not come in rows: call it by the V2 protocol")
    specs = route.signature.outputs
    classifies = len(specs) == 2 and specs[1].columns
    if classifies or len(specs) == 1:
        return b'{"predictions":' + encode_rows(outputs[specs[0].name]) + b"}"
    columns = [_column(spec, outputs[spec.name]) for spec in specs]
    names = [spec.name for spec in specs]
    predictions = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return orjson.dumps({"predictions": predictions})


def _column(spec: TensorSpec, tensor: Tensor) -> list[Any]:
    """An output's rows as JSON values."""
    rows: list[Any] = orjson.loads(encode_rows(tensor))
    if spec.columns and tensor.ndim == 2:
        return [dict(zip(spec.columns, row, strict=True)) for row in rows]
    return rows


def _fields(signature: Signature) -> dict[str, tuple[TensorSpec, int]]:
    """What a record may hold: each column of an input that has columns, or each input."""
    fields: dict[str, tuple[TensorSpec, int]] = {}
    for spec in signature.inputs:
        if spec.columns:
            fields.update({column: (spec, at) for at, column in enumerate(spec.columns)})
        else:
            fields[spec.name] = (spec, -1)
    return fields


def _named(rows: Sequence[Any], fields: dict[str, tuple[TensorSpec, int]]) -> list[dict[str, Any]]:
    _check_rows(rows, list(fields))
    return [dict(zip(fields, row, strict=True)) for row in rows]


def _check_rows(rows: Sequence[Any], names: Sequence[str]) -> None:
    for at, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            found = f"has {len(row)} values" if isinstance(row, list) else f"is {kind_of(row)}"
            raise Invalid(
                f"instance {at} {found}, expected a record or a list of {len(names)}: "
                + ", ".join(names)
            )


def _from_records(
    records: Sequence[Any], signature: Signature, fields: dict[str, tuple[TensorSpec, int]]
) -> dict[str, Tensor]:
    columns: dict[str, list[Any]] = {name: [] for name in fields}
    for at, record in enumerate(records):
        if not isinstance(record, dict):
            raise Invalid(f"instance {at} is {kind_of(record)}, expected a record like the first")
        for name, (spec, _) in fields.items():
            columns[name].append(_field(at, name, record.get(name), spec))
        if not record.keys() <= fields.keys():
            unknown = next(name for name in record if name not in fields)
            raise Invalid(
                f"instance {at}: '{unknown[:80]}' is unknown; the model takes " + ", ".join(fields)
            )
    inputs: dict[str, Tensor] = {}
    for spec in signature.inputs:
        if spec.columns:
            rows = [
                value
                for row in zip(*(columns[c] for c in spec.columns), strict=True)
                for value in row
            ]
            inputs[spec.name] = to_array(spec.name, spec.datatype, rows).reshape(len(records), -1)
        else:
            inputs[spec.name] = _stack(spec, columns[spec.name])
    return inputs


def _field(at: int, name: str, value: Any, spec: TensorSpec) -> Any:
    if value is None and not spec.nullable:
        raise Invalid(f"instance {at}: '{name}' is missing and has no default")
    if spec.binary or (isinstance(value, list) and not spec.columns):
        return value
    try:
        return _value(value, spec)
    except Invalid:
        raise Invalid(
            f"instance {at}: '{name}' is {kind_of(value)}, expected {spec.datatype}"
        ) from None


def _value(value: Any, spec: TensorSpec) -> Any:
    if isinstance(value, bool) and spec.nullable and spec.datatype is Datatype.FP32:
        # A yes-or-no column of a table: training read it as 0 and 1.
        return float(value)
    return check_value(spec.name, spec.datatype, value, nullable=spec.nullable)


def _stack(spec: TensorSpec, values: Sequence[Any]) -> Tensor:
    """Rows of any depth as one tensor, ragged ones refused."""
    shape: list[int] = [len(values)]
    flat: list[Any] = list(values)
    while flat and isinstance(flat[0], list) and len(shape) <= len(spec.shape):
        width = len(flat[0])
        for at, value in enumerate(flat):
            if not isinstance(value, list) or len(value) != width:
                raise Invalid(
                    f"input '{spec.name}': rows differ in length at element {at} of depth "
                    f"{len(shape)}: expected a list of {width}"
                )
        flat = [item for value in flat for item in value]
        shape.append(width)
    if spec.binary:
        return decode_elements(spec.name, flat).reshape(shape)
    checked = [_value(value, spec) for value in flat]
    return to_array(spec.name, spec.datatype, checked).reshape(shape)
