"""Calling a deployed model: KServe V1 and the Open Inference Protocol v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from modelyard_client.errors import ApiError
from modelyard_client.transport import Transport


class Tensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A named tensor. `data` is flat or nested, in row-major order."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class InferenceResponse(msgspec.Struct, frozen=True):
    """What a model answered. `id` is the request's own."""

    model_name: str
    outputs: list[Tensor]
    model_version: str = ""
    id: str = ""

    def output(self, name: str) -> Tensor:
        """The output of that name. Raises KeyError."""
        for tensor in self.outputs:
            if tensor.name == name:
                return tensor
        raise KeyError(name)


class TensorMetadata(msgspec.Struct, frozen=True):
    """One tensor that a model takes or gives. A dimension of -1 is free."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}


class ModelMetadata(msgspec.Struct, frozen=True):
    """What the data plane says of a deployment."""

    name: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    versions: list[str] = []
    platform: str = ""


def tensors(metadata: ModelMetadata, records: Sequence[Mapping[str, Any]]) -> list[Tensor]:
    """Records as the tensors that the model takes.

    An input with named columns gets them side by side, shape [records, columns]; any other gets
    its own key of each record, shape [records]. A key that a record lacks is a missing value; an
    optional input that no record has is left out.
    """
    made = []
    for spec in metadata.inputs:
        if spec.parameters.get("optional") and not any(spec.name in record for record in records):
            continue
        columns = spec.parameters.get("columns")
        if columns:
            data = [record.get(column) for record in records for column in columns]
            made.append(Tensor(spec.name, [len(records), len(columns)], spec.datatype, data))
        else:
            data = [record.get(spec.name) for record in records]
            made.append(Tensor(spec.name, [len(records)], spec.datatype, data))
    return made


class _Predictions(msgspec.Struct):
    predictions: list[Any]


class Inference:
    """`/v1/models` and `/v2/models`. A key of scope `infer` is enough."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def predict(self, deployment: str, instances: Sequence[Any]) -> Sequence[Any]:
        """One prediction for each instance: a record (`{column: value}`) or a row of values.

        A value that is `bytes` (a picture's file, say) is sent as base64.
        """
        path = f"/v1/models/{quote(deployment, safe='')}:predict"
        body = {"instances": instances}
        answer = self._transport.request("POST", path, _Predictions, body=body, repeatable=False)
        return answer.predictions

    def infer(
        self,
        deployment: str,
        inputs: Sequence[Tensor | Mapping[str, Any]],
        outputs: Sequence[str] = (),
    ) -> InferenceResponse:
        """Send tensors, get tensors; `outputs` names the ones wanted, none is all."""
        path = f"/v2/models/{quote(deployment, safe='')}/infer"
        body: dict[str, Any] = {"inputs": inputs}
        if outputs:
            body["outputs"] = [{"name": name} for name in outputs]
        return self._transport.request("POST", path, InferenceResponse, body=body, repeatable=False)

    def metadata(self, deployment: str) -> ModelMetadata:
        """The tensors that the deployment takes and gives."""
        return self._transport.request(
            "GET", f"/v2/models/{quote(deployment, safe='')}", ModelMetadata
        )

    def ready(self, deployment: str) -> bool:
        """Whether the deployment answers on the data plane."""
        path = f"/v2/models/{quote(deployment, safe='')}/ready"
        try:
            self._transport.request("GET", path, Any)
        except ApiError as error:
            if error.status in (400, 404, 503):
                return False
            raise
        return True
