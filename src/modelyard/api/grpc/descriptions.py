"""What the service tells about itself and its models: every method but inference.

The answers are the REST edge's own, put into messages: the protocol names the fields alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from modelyard.api.grpc.generated import inference_pb2 as messages
from modelyard.api.inference import v2
from modelyard.api.inference.extensions import Extensions
from modelyard.core.access import Grant
from modelyard.core.errors import NotFound, Unavailable
from modelyard.serving.service import InferenceService

Request = TypeVar("Request", bound=Message)


class Description(Generic[Request]):
    """A method: its request's type, and what answers it."""

    def __init__(self, request: type[Request], answer: Callable[[Grant, Request], Message]) -> None:
        self.request = request
        self.answer = answer


class Descriptions:
    """Answers every method but inference. They raise as `Extensions` does."""

    def __init__(
        self, plane: InferenceService, extensions: Extensions, *, server_version: str
    ) -> None:
        self._plane = plane
        self._extensions = extensions
        self._server_version = server_version

    def by_method(self) -> Mapping[str, Description[Any]]:
        """Each method's name with what answers it."""
        memory = messages.SharedMemoryRequest
        return {
            "ServerLive": Description(messages.ServerLiveRequest, self._live),
            "ServerReady": Description(messages.ServerReadyRequest, self._ready),
            "ServerMetadata": Description(messages.ServerMetadataRequest, self._server),
            "ModelReady": Description(messages.ModelReadyRequest, self._model_ready),
            "ModelMetadata": Description(messages.ModelMetadataRequest, self._model),
            "ModelConfig": Description(messages.ModelConfigRequest, self._config),
            "ModelStatistics": Description(messages.ModelStatisticsRequest, self._statistics),
            "RepositoryIndex": Description(messages.RepositoryIndexRequest, self._index),
            "RepositoryModelLoad": Description(messages.RepositoryModelLoadRequest, self._load),
            "RepositoryModelUnload": Description(
                messages.RepositoryModelUnloadRequest, self._unload
            ),
            "TraceSetting": Description(messages.TraceSettingRequest, self._trace),
            "LogSettings": Description(messages.LogSettingsRequest, self._log),
            "SystemSharedMemoryStatus": Description(
                memory, lambda *_: messages.SystemSharedMemoryStatusResponse()
            ),
            "CudaSharedMemoryStatus": Description(
                memory, lambda *_: messages.CudaSharedMemoryStatusResponse()
            ),
            "SystemSharedMemoryRegister": Description(memory, self._register),
            "CudaSharedMemoryRegister": Description(memory, self._register),
            "SystemSharedMemoryUnregister": Description(memory, _nothing),
            "CudaSharedMemoryUnregister": Description(memory, _nothing),
        }

    def _live(self, _: Grant, __: Message) -> Message:
        return messages.ServerLiveResponse(live=True)

    def _ready(self, _: Grant, __: Message) -> Message:
        return messages.ServerReadyResponse(ready=self._plane.ready)

    def _server(self, _: Grant, __: Message) -> Message:
        described = v2.server_metadata(self._server_version)
        return ParseDict(described, messages.ServerMetadataResponse())

    def _model_ready(self, grant: Grant, request: messages.ModelReadyRequest) -> Message:
        try:
            self._plane.route(grant, request.name, request.version or None)
        except (NotFound, Unavailable):
            return messages.ModelReadyResponse(ready=False)
        return messages.ModelReadyResponse(ready=True)

    def _model(self, grant: Grant, request: messages.ModelMetadataRequest) -> Message:
        route = self._plane.route(grant, request.name, request.version or None)
        described = v2.model_metadata(request.name, route)
        for tensor in (*described["inputs"], *described["outputs"]):
            if "parameters" in tensor:
                tensor["parameters"] = {
                    name: _parameter(value) for name, value in tensor["parameters"].items()
                }
        return ParseDict(described, messages.ModelMetadataResponse())

    def _config(self, grant: Grant, request: messages.ModelConfigRequest) -> Message:
        config = self._extensions.config(grant, request.name, request.version or None)
        return ParseDict({"config": config}, messages.ModelConfigResponse())

    def _statistics(self, grant: Grant, request: messages.ModelStatisticsRequest) -> Message:
        name, version = request.name or None, request.version or None
        told = self._extensions.statistics(grant, name, version)
        response = messages.ModelStatisticsResponse()
        return ParseDict(told, response, ignore_unknown_fields=True)

    def _index(self, grant: Grant, request: messages.RepositoryIndexRequest) -> Message:
        models = self._extensions.index(grant, ready=request.ready)
        return ParseDict({"models": models}, messages.RepositoryIndexResponse())

    def _load(self, grant: Grant, request: messages.RepositoryModelLoadRequest) -> Message:
        self._extensions.load(grant, request.model_name, request.parameters)
        return messages.RepositoryModelLoadResponse()

    def _unload(self, grant: Grant, request: messages.RepositoryModelUnloadRequest) -> Message:
        self._extensions.unload(grant, request.model_name)
        return messages.RepositoryModelUnloadResponse()

    def _trace(self, grant: Grant, request: messages.TraceSettingRequest) -> Message:
        # No words at all stand for "as it was".
        update = {name: list(each.value) or None for name, each in request.settings.items()}
        told = self._extensions.trace_settings(grant, request.model_name or None, update)
        settings = {
            name: {"value": value if isinstance(value, list) else [value]}
            for name, value in told.items()
        }
        return ParseDict({"settings": settings}, messages.TraceSettingResponse())

    def _log(self, _: Grant, request: messages.LogSettingsRequest) -> Message:
        update = {name: _chosen(setting) for name, setting in request.settings.items()}
        settings = {
            name: _setting(value) for name, value in self._extensions.log_settings(update).items()
        }
        return ParseDict({"settings": settings}, messages.LogSettingsResponse())

    def _register(self, _: Grant, __: Message) -> Message:
        self._extensions.register_memory()
        return messages.SharedMemoryResponse()


def _nothing(_: Grant, __: Message) -> Message:
    return messages.SharedMemoryResponse()


def _parameter(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"bool_param": value}
    return {"string_param": msgspec.json.encode(value).decode()}


def _setting(value: bool | int | str) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"bool_param": value}
    return {"uint32_param": value} if isinstance(value, int) else {"string_param": value}


def _chosen(setting: messages.LogSettingsRequest.SettingValue) -> Any:
    field = setting.WhichOneof("parameter_choice")
    return None if field is None else getattr(setting, field)
