"""What the service tells about itself and its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from modelyard.api.grpc.generated import inference_pb2 as messages
from modelyard.core.access import Grant
from modelyard.core.errors import NotFound, Unavailable
from modelyard.serving.service import InferenceService

Request = TypeVar("Request", bound=Message)


class Description(Generic[Request]):
    """A method without side effects: its request's type, and what answers it."""

    def __init__(self, request: type[Request], answer: Callable[[Grant, Request], Message]) -> None:
        self.request = request
        self.answer = answer


class Descriptions:
    """Answers every method but inference."""

    def __init__(self, plane: InferenceService, *, server_version: str) -> None:
        self._plane = plane
        self._server_version = server_version

    def by_method(self) -> Mapping[str, Description[Any]]:
        """Each method's name with what answers it."""
        return {
            "ServerLive": Description(messages.ServerLiveRequest, self._live),
            "ServerReady": Description(messages.ServerReadyRequest, self._ready),
            "ModelReady": Description(messages.ModelReadyRequest, self._model_ready),
        }

    def _live(self, _: Grant, __: Message) -> Message:
        return messages.ServerLiveResponse(live=True)

    def _ready(self, _: Grant, __: Message) -> Message:
        return messages.ServerReadyResponse(ready=self._plane.ready)

    def _model_ready(self, grant: Grant, request: messages.ModelReadyRequest) -> Message:
        try:
            self._plane.route(grant, request.name, request.version or None)
        except (NotFound, Unavailable):
            return messages.ModelReadyResponse(ready=False)
        return messages.ModelReadyResponse(ready=True)
