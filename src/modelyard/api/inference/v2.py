"""Open Inference Protocol v2 over REST: bodies in, bodies out. Knows no HTTP."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import orjson

from modelyard.api.inference.tensors import decode_tensor, encode_data
from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, Tensor, TensorSpec, datatype_of
from modelyard.serving.snapshot import Route

PLATFORM: Final = "onnxruntime_onnx"


class RequestInput(msgspec.Struct):
    """One input tensor. `data` is decoded once its datatype is known."""

    name: str
    shape: list[int]
    datatype: Datatype
    data: msgspec.Raw = msgspec.Raw(b"")
    parameters: dict[str, Any] | None = None


class RequestOutput(msgspec.Struct):
    """An output that the client asks for."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    """The request's body."""

    inputs: list[RequestInput]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[RequestOutput] | None = None


_decode: Final = msgspec.json.Decoder(InferRequest).decode


def decode_request(
    body: bytes, route: Route
) -> tuple[str | None, dict[str, Tensor], list[str] | None]:
    """The request's id, its inputs by name, and the outputs it asks for (None for all).

    Raises:
        Invalid: not JSON, not of this form, or a tensor that is not what it says.
    """
    try:
        request = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body is not an inference request: {error}") from None
    except RecursionError:
        raise Invalid("the body is nested too deeply") from None
    specs = {spec.name: spec for spec in route.signature.inputs}
    inputs: dict[str, Tensor] = {}
    for each in request.inputs:
        if each.name in inputs:
            raise Invalid(f"input '{each.name[:80]}' is given twice")
        inputs[each.name] = _decode_input(each, specs.get(each.name))
    return request.id, inputs, _wanted(request, route)


def _decode_input(given: RequestInput, spec: TensorSpec | None) -> Tensor:
    name = given.name[:80]
    if not given.data:
        raise Invalid(f"input '{name}' has no data")
    if spec is not None and given.datatype is not spec.datatype:
        raise Invalid(f"input '{name}' has datatype {given.datatype}, expected {spec.datatype}")
    nullable = spec is not None and spec.nullable
    return decode_tensor(name, given.datatype, given.shape, given.data, nullable=nullable)


def _wanted(request: InferRequest, route: Route) -> list[str] | None:
    if not request.outputs:
        return None
    known = [spec.name for spec in route.signature.outputs]
    wanted: list[str] = []
    for output in request.outputs:
        if output.name not in known:
            raise Invalid(
                f"output '{output.name[:80]}' is unknown; the model gives "
                + ", ".join(f"'{name}'" for name in known)
            )
        if output.name in wanted:
            raise Invalid(f"output '{output.name}' is asked for twice")
        wanted.append(output.name)
    return wanted


def encode_response(
    route: Route, request_id: str | None, outputs: dict[str, Tensor], wanted: list[str] | None
) -> bytes:
    """The response's body. An id is echoed, never invented."""
    head = b'{"model_name":"%b","model_version":"%d",' % (
        route.wanted.name.encode(),
        route.wanted.version,
    )
    if request_id is not None:
        head += b'"id":' + orjson.dumps(request_id) + b","
    names = outputs if wanted is None else wanted
    parts = [_encode_output(name, outputs[name]) for name in names]
    return head + b'"outputs":[' + b",".join(parts) + b"]}"


def _encode_output(name: str, tensor: Tensor) -> bytes:
    shape = ",".join(map(str, tensor.shape))
    return b'{"name":%b,"datatype":"%b","shape":[%b],"data":%b}' % (
        orjson.dumps(name),
        datatype_of(tensor).value.encode(),
        shape.encode(),
        encode_data(tensor),
    )


def model_metadata(route: Route) -> dict[str, Any]:
    """The model's metadata. Names of columns and classes stand in the tensors' parameters."""
    return {
        "name": route.wanted.name,
        "versions": [str(route.wanted.version)],
        "platform": PLATFORM,
        "inputs": [_describe(spec) for spec in route.signature.inputs],
        "outputs": [_describe(spec) for spec in route.signature.outputs],
    }


def server_metadata(version: str) -> dict[str, Any]:
    """The server's metadata."""
    return {"name": "modelyard", "version": version, "extensions": []}


def _describe(spec: TensorSpec) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": spec.name,
        "datatype": spec.datatype.value,
        "shape": list(spec.shape),
    }
    parameters: dict[str, Any] = {}
    if spec.columns:
        parameters["columns"] = list(spec.columns)
    if spec.nullable:
        parameters["nullable"] = True
    if parameters:
        described["parameters"] = parameters
    return described
