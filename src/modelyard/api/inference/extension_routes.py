"""The routes of the extensions over REST, where Triton's clients look for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from modelyard.api.http import HttpRequest, HttpResponse
from modelyard.api.inference.compression import decompressed
from modelyard.api.inference.extensions import Extensions
from modelyard.api.inference.failures import not_allowed, refusal
from modelyard.core.access import Grant
from modelyard.core.errors import Invalid, ModelyardError, NotFound

_READS: Final = ("GET", "HEAD")
_MEMORY: Final = ("systemsharedmemory", "cudasharedmemory")

Body = Mapping[str, Any]
Act = Callable[[Body], Any]


class Resource(msgspec.Struct):
    """What a path stands for: what reads it, and what a POST to it does, where there is such."""

    read: Callable[[], Any] | None = None
    post: Act | None = None

    @property
    def allowed(self) -> str:
        """The methods, for the Allow header."""
        methods = [*(_READS if self.read else ()), *(("POST",) if self.post else ())]
        return ", ".join(methods)


class ExtensionRoutes:
    """Answers the paths that are the extensions', and no other."""

    def __init__(self, extensions: Extensions, *, max_request_bytes: int) -> None:
        self._extensions = extensions
        self._max_request_bytes = max_request_bytes

    def answer(self, request: HttpRequest, grant: Grant) -> HttpResponse | None:
        """The response; None for a path that is not an extension's."""
        resource = self._resource(request.path.split("/")[1:], grant)
        if resource is None:
            return None
        try:
            if request.method in _READS and resource.read is not None:
                said = resource.read()
            elif request.method == "POST" and resource.post is not None:
                said = resource.post(self._body(request))
            else:
                return not_allowed(resource.allowed)
        except ModelyardError as error:
            return refusal(error)
        return HttpResponse(HTTPStatus.OK, msgspec.json.encode({} if said is None else said))

    def _resource(self, parts: list[str], grant: Grant) -> Resource | None:
        match parts:
            case ["v2", "repository", *rest]:
                return self._repository(rest, grant)
            case ["v2", "models", *rest]:
                return self._model(rest, grant)
            case ["v2", "trace", "setting"]:
                return self._trace(grant, None)
            case ["v2", "logging"]:
                settings = self._extensions.log_settings
                return Resource(lambda: settings({}), settings)
            case ["v2", memory, *rest] if memory in _MEMORY:
                return self._memory(rest)
        return None

    def _repository(self, parts: list[str], grant: Grant) -> Resource | None:
        extensions = self._extensions
        match parts:
            case ["index"]:
                return Resource(post=lambda body: extensions.index(grant, ready=_flag(body)))
            case ["models", name, "load"]:
                return Resource(
                    post=lambda body: extensions.load(grant, name, body.get("parameters") or {})
                )
            case ["models", name, "unload"]:
                return Resource(post=lambda _: extensions.unload(grant, name))
        return None

    def _model(self, parts: list[str], grant: Grant) -> Resource | None:
        extensions = self._extensions
        match parts:
            case ["stats"]:
                return Resource(lambda: extensions.statistics(grant))
            case [name, "stats"]:
                return Resource(lambda: extensions.statistics(grant, name))
            case [name, "versions", version, "stats"]:
                return Resource(lambda: extensions.statistics(grant, name, version))
            case [name, "config"]:
                return Resource(lambda: extensions.config(grant, name, None))
            case [name, "versions", version, "config"]:
                return Resource(lambda: extensions.config(grant, name, version))
            case [name, "trace", "setting"]:
                return self._trace(grant, name)
        return None

    def _trace(self, grant: Grant, name: str | None) -> Resource:
        settings = self._extensions.trace_settings
        return Resource(
            lambda: settings(grant, name, {}), lambda update: settings(grant, name, update)
        )

    def _memory(self, parts: list[str]) -> Resource | None:
        match parts:
            case ["status"]:
                return Resource(list)
            case ["region", name, "status"]:
                return Resource(lambda: _no_region(name))
            case ["region", _, "register"]:
                return Resource(post=lambda _: self._extensions.register_memory())
            case ["unregister"] | ["region", _, "unregister"]:
                # What was never registered is not registered afterwards either.
                return Resource(post=lambda _: None)
        return None

    def _body(self, request: HttpRequest) -> Body:
        decompressed(request, self._max_request_bytes)
        if not request.body:
            return {}
        try:
            return msgspec.json.decode(request.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"the body is not a JSON object: {error}") from None
        except RecursionError:
            raise Invalid("the body is nested too deeply") from None


def _flag(body: Body) -> bool:
    ready = body.get("ready", False)
    if not isinstance(ready, bool):
        raise Invalid("'ready' must be true or false")
    return ready


def _no_region(name: str) -> None:
    raise NotFound(f"there is no shared memory region '{name[:80]}'")
