"""Open Inference Protocol v2 over REST: bodies in, bodies out."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
import orjson
from msgspec import UNSET

from modelyard.api.http import HttpRequest, HttpResponse
from modelyard.api.inference.binary import decode_elements
from modelyard.api.inference.extensions import NAMES
from modelyard.api.inference.failures import failure
from modelyard.api.inference.infer_request import InferRequest, RequestInput, decode_request
from modelyard.api.inference.platforms import platform_of
from modelyard.api.inference.requested import refuse_unserved, requested_outputs
from modelyard.api.inference.tensors import decode_tensor, encode_data
from modelyard.core.elements import from_raw, to_raw
from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tensors import Tensor, TensorSpec, datatype_of
from modelyard.serving.exchange import Answer, Asked
from modelyard.serving.snapshot import Route

HEADER_LENGTH: Final = b"inference-header-content-length"


_NOTHING: Final = memoryview(b"")


class V2Codec:
    """One `infer` request: JSON, with or without binary tensor data behind it."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._binary_outputs: frozenset[str] | None = frozenset()

    @property
    def size(self) -> int:
        """The body's size in bytes."""
        return len(self._request.body)

    def decode(self, route: Route) -> Asked:
        """The request's tensors, id and wishes.

        Raises:
            Invalid: not JSON, not of this form, or a tensor that is not what it says.
        """
        text, raw = _split(self._request)
        request = decode_request(text, route.datatype)
        inputs: dict[str, Tensor] = {}
        for each in request.inputs:
            spec = route.specs.get(each.name)
            if spec is None:
                raise route.signature.unknown(each.name)
            if each.name in inputs:
                raise Invalid(f"input '{each.name}' is given twice")
            inputs[each.name], raw = _decode_input(each, spec, raw)
        if raw:
            raise Invalid(f"{len(raw)} bytes of binary data belong to no input")
        if request.outputs or request.parameters:
            self._binary_outputs = _binary_outputs(request)
        wanted = None
        if request.outputs:
            for output in request.outputs:
                if output.parameters:
                    refuse_unserved(f"output '{output.name[:80]}'", output.parameters)
            wanted = requested_outputs([output.name for output in request.outputs], route)
        return Asked(inputs, wanted, request.id, _timeout(request))

    def encode(self, route: Route, asked: Asked, outputs: dict[str, Tensor]) -> Answer:
        """The response. An id is echoed, never invented."""
        head = _opening(asked.name, route.wanted.version)
        if asked.id is not None:
            head += b'"id":' + orjson.dumps(asked.id) + b","
        binary, parts, raws = self._binary_outputs, [], []
        for name in outputs if asked.outputs is None else asked.outputs:
            if binary is None or name in binary:
                raws.append(to_raw(outputs[name]))
                parts.append(_describe_output(name, outputs[name], len(raws[-1])))
            else:
                parts.append(_encode_output(name, outputs[name]))
        text = head + b'"outputs":[' + b",".join(parts) + b"]}"
        if not raws:
            return Answer(200, HttpResponse(200, text), len(text))
        body = b"".join([text, *raws])
        headers = [(HEADER_LENGTH, b"%d" % len(text))]
        response = HttpResponse(200, body, b"application/octet-stream", headers)
        return Answer(200, response, len(body))

    def fail(self, error: ModelyardError) -> Answer:
        """`{"error": ...}` with the status that belongs to it."""
        return failure(error)


def _split(request: HttpRequest) -> tuple[bytes | memoryview, memoryview]:
    """The JSON of the body and the binary data behind it."""
    length = request.headers.get(HEADER_LENGTH)
    if length is None:
        return request.body, _NOTHING
    if not length.isdigit() or len(length) > 18 or int(length) > len(request.body):
        raise Invalid(
            f"Inference-Header-Content-Length {length[:20].decode('latin-1')!r} must be the size "
            f"of the JSON in a body of {len(request.body)} bytes"
        )
    whole = memoryview(request.body)
    return whole[: int(length)], whole[int(length) :]


def _decode_input(
    given: RequestInput[Any], spec: TensorSpec, raw: memoryview
) -> tuple[Tensor, memoryview]:
    """The tensor, and the binary data that is left for the inputs after it."""
    name = given.name
    if given.datatype is not spec.datatype:
        raise Invalid(f"input '{name}' has datatype {given.datatype}, expected {spec.datatype}")
    size = None
    if given.parameters:
        refuse_unserved(f"input '{name}'", given.parameters)
        size = given.parameters.get("binary_data_size")
    if size is not None:
        if given.data is not UNSET:
            raise Invalid(f"input '{name}' has both data and binary_data_size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(raw):
            raise Invalid(
                f"input '{name}': binary_data_size {size!r} must be a number of bytes, "
                f"{len(raw)} at most here"
            )
        tensor = from_raw(name, given.datatype, given.shape, raw[:size], binary=spec.binary)
        return tensor, raw[size:]
    if given.data is UNSET:
        raise Invalid(f"input '{name}' has no data")
    tensor = decode_tensor(name, given.datatype, given.shape, given.data, nullable=spec.nullable)
    if spec.binary:
        tensor = decode_elements(name, tensor.reshape(-1)).reshape(tensor.shape)
    return tensor, raw


def _binary_outputs(request: InferRequest[Any]) -> frozenset[str] | None:
    """The outputs that are asked for as binary data; None for all of them."""
    everything = (request.parameters or {}).get("binary_data_output") is True
    if everything and not request.outputs:
        return None
    return frozenset(
        output.name
        for output in request.outputs or ()
        if (output.parameters or {}).get("binary_data", everything) is True
    )


def _timeout(request: InferRequest[Any]) -> float | None:
    """The `timeout` parameter, in microseconds as Triton has it, as seconds."""
    timeout = (request.parameters or {}).get("timeout")
    if timeout is None:
        return None
    if not isinstance(timeout, int) or isinstance(timeout, bool) or not 0 <= timeout < 1 << 63:
        raise Invalid("parameter 'timeout' must be a number of microseconds, 0 for none")
    return timeout / 1e6 or None


def _encode_output(name: str, tensor: Tensor) -> bytes:
    return b'%b,"data":%b}' % (
        _output_opening(name, tensor.dtype, tensor.shape),
        encode_data(tensor),
    )


def _describe_output(name: str, tensor: Tensor, size: int) -> bytes:
    return b'%b,"parameters":{"binary_data_size":%d}}' % (
        _output_opening(name, tensor.dtype, tensor.shape),
        size,
    )


# A gateway says the same few beginnings again and again.
@lru_cache(maxsize=4096)
def _opening(name: str, version: int) -> bytes:
    return b'{"model_name":%b,"model_version":"%d",' % (orjson.dumps(name), version)


@lru_cache(maxsize=4096)
def _output_opening(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    datatype = datatype_of(np.empty(0, dtype)).value.encode()
    return b'{"name":%b,"datatype":"%b","shape":%b' % (
        orjson.dumps(name),
        datatype,
        orjson.dumps(shape),
    )


def model_metadata(name: str, route: Route) -> dict[str, Any]:
    """The metadata of the model that is called by `name`. Names of columns and classes stand in
    the tensors' parameters, and what else is to be known of them.
    """
    return {
        "name": name,
        "versions": [str(route.wanted.version)],
        "platform": platform_of(route.wanted.format),
        "inputs": [_describe(spec) for spec in route.signature.inputs],
        "outputs": [_describe(spec) for spec in route.signature.outputs],
    }


def server_metadata(version: str) -> dict[str, Any]:
    """The server's metadata."""
    return {"name": "modelyard", "version": version, "extensions": list(NAMES)}


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
    if spec.binary:
        parameters["binary"] = True
    if spec.optional:
        parameters["optional"] = True
    if parameters:
        described["parameters"] = parameters
    return described
