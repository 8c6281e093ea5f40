"""One `ModelInfer` request: messages in, messages out."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from modelyard.api.grpc.contents import from_contents
from modelyard.api.grpc.generated.inference_pb2 import (
    InferParameter,
    ModelInferRequest,
    ModelInferResponse,
)
from modelyard.api.inference.requested import refuse_unserved, requested_outputs
from modelyard.api.statuses import status_of
from modelyard.core.elements import from_raw, to_raw
from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tensors import Datatype, Tensor, TensorSpec, datatype_of
from modelyard.serving.exchange import Answer, Asked
from modelyard.serving.snapshot import Route


class GrpcCodec:
    """Typed or raw contents in, raw contents out.

    `content` of its answers is a ModelInferResponse, or the ModelyardError. `seconds` is what is
    left of the call's deadline, None if it has none.

    Raises:
        Invalid: `message` is not a ModelInferRequest.
    """

    def __init__(self, message: bytes, seconds: float | None) -> None:
        self.size = len(message)
        self._seconds = seconds
        try:
            self.request = ModelInferRequest.FromString(message)
        except DecodeError:
            raise Invalid("the message is not a ModelInferRequest") from None

    def decode(self, route: Route) -> Asked:
        """The request's tensors, id and wishes. Raises Invalid."""
        request = self.request
        raws = request.raw_input_contents
        if raws and len(raws) != len(request.inputs):
            raise Invalid(
                f"raw_input_contents has {len(raws)} tensors for {len(request.inputs)} inputs"
            )
        specs = {spec.name: spec for spec in route.signature.inputs}
        inputs: dict[str, Tensor] = {}
        for at, given in enumerate(request.inputs):
            if given.name in inputs:
                raise Invalid(f"input '{given.name[:80]}' is given twice")
            raw = memoryview(raws[at]) if raws else None
            inputs[given.name] = _decode_input(given, specs.get(given.name), raw)
        wanted = None
        if request.outputs:
            for output in request.outputs:
                refuse_unserved(f"output '{output.name[:80]}'", output.parameters)
            wanted = requested_outputs([output.name for output in request.outputs], route)
        return Asked(inputs, wanted, request.id or None, self._timeout())

    def encode(self, route: Route, asked: Asked, outputs: dict[str, Tensor]) -> Answer:
        """The response, all of it raw. An id is echoed, never invented."""
        response = ModelInferResponse(
            model_name=asked.name,
            model_version=str(route.wanted.version),
            id=asked.id or "",
        )
        for name in outputs if asked.outputs is None else asked.outputs:
            tensor = outputs[name]
            response.outputs.add(name=name, datatype=datatype_of(tensor).value, shape=tensor.shape)
            response.raw_output_contents.append(to_raw(tensor))
        return Answer(200, response, response.ByteSize())

    def fail(self, error: ModelyardError) -> Answer:
        """The error itself: a call and a stream tell it in different ways."""
        return Answer(status_of(error), error, len(error.message))

    def _timeout(self) -> float | None:
        """Seconds: the `timeout` parameter, in microseconds as Triton has it, or the deadline."""
        given = self.request.parameters.get("timeout")
        if given is None:
            return self._seconds
        microseconds = _integer(given)
        if microseconds is None or microseconds < 0:
            raise Invalid("parameter 'timeout' must be a number of microseconds, 0 for none")
        if microseconds == 0:
            return self._seconds
        seconds = microseconds / 1e6
        return seconds if self._seconds is None else min(seconds, self._seconds)


def _integer(parameter: InferParameter) -> int | None:
    match parameter.WhichOneof("parameter_choice"):
        case "int64_param":
            return parameter.int64_param
        case "uint64_param":
            return parameter.uint64_param
    return None


def _decode_input(
    given: ModelInferRequest.InferInputTensor, spec: TensorSpec | None, raw: memoryview | None
) -> Tensor:
    name, shape = given.name[:80], list(given.shape)
    refuse_unserved(f"input '{name}'", given.parameters)
    try:
        datatype = Datatype(given.datatype)
    except ValueError:
        raise Invalid(f"input '{name}': there is no datatype '{given.datatype[:20]}'") from None
    if spec is not None and datatype is not spec.datatype:
        raise Invalid(f"input '{name}' has datatype {datatype}, expected {spec.datatype}")
    binary = spec is not None and spec.binary
    if raw is None:
        return from_contents(name, datatype, shape, given.contents, binary=binary)
    if given.contents.ListFields():
        raise Invalid(f"input '{name}' has both contents and raw_input_contents")
    return from_raw(name, datatype, shape, raw, binary=binary)
