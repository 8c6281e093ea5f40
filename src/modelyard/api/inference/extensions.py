"""What Triton's clients ask beyond the Open Inference Protocol, in words of no wire.

Deployments are changed by the management API alone. So loading wakes a model at most, unloading
changes nothing, the settings can be read and not changed, and shared memory, which would let a
client name memory of this host, is refused for good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from modelyard.api.inference.platforms import backend_of, platform_of
from modelyard.core.access import Grant
from modelyard.core.errors import Invalid, NotFound
from modelyard.core.tensors import Datatype, TensorSpec
from modelyard.serving.metrics import Totals
from modelyard.serving.service import InferenceService
from modelyard.serving.slots import Series
from modelyard.serving.snapshot import Route

NAMES: Final = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")

TRACE_SETTINGS: Final[Mapping[str, Any]] = {
    "trace_file": "",
    "trace_level": ["OFF"],
    "trace_rate": "1000",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_mode": "triton",
}
"""Triton's own tracing, which does not exist here."""

LOG_SETTINGS: Final[Mapping[str, Any]] = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}


class Extensions:
    """Answers for the tenant of the key. `statistics` reads the counters of all gateways."""

    def __init__(
        self, plane: InferenceService, statistics: Callable[[str], Mapping[Series, Totals]]
    ) -> None:
        self._plane = plane
        self._statistics = statistics

    def index(self, grant: Grant, *, ready: bool = False) -> list[dict[str, str]]:
        """Every deployment with its state; with `ready`, only those that serve."""
        serving = [
            {
                "name": name,
                "version": str(route.wanted.version),
                "state": "READY",
                "reason": "",
            }
            for name, route in self._plane.routes(grant).items()
        ]
        if ready:
            return serving
        missing = [
            {
                "name": name,
                "version": "",
                "state": "LOADING" if reason is None else "UNAVAILABLE",
                "reason": reason or "",
            }
            for name, reason in self._plane.missing(grant).items()
        ]
        return sorted([*serving, *missing], key=lambda model: model["name"])

    def load(self, grant: Grant, name: str, parameters: Mapping[str, Any]) -> None:
        """Wake the deployment's model, if it serves and sleeps.

        Raises:
            Invalid: a configuration or files are sent along.
            NotFound: there is no such deployment.
            Unavailable: it does not serve; says why.
        """
        if parameters:
            raise Invalid(
                "a model is loaded as it was deployed: import and deploy another version by the "
                "management API"
            )
        self._plane.wake(self._plane.route(grant, name))

    def unload(self, grant: Grant, name: str) -> None:
        """Raises Invalid, or NotFound where there is nothing to unload."""
        if not any(model["name"] == name for model in self.index(grant)):
            raise NotFound(f"there is no deployment '{name[:80]}'")
        raise Invalid(
            f"deployment '{name}' is not unloaded by its clients: delete it by the management API"
        )

    def config(self, grant: Grant, name: str, version: str | None) -> dict[str, Any]:
        """The model's configuration, as far as it is a matter here. Raises as `route` does."""
        route = self._plane.route(grant, name, version)
        batches = route.runtime.stackable
        options = route.wanted.options
        config: dict[str, Any] = {
            "name": name,
            "platform": platform_of(route.wanted.format),
            "backend": backend_of(route.wanted.format),
            "version_policy": {"specific": {"versions": [route.wanted.version]}},
            "max_batch_size": options.max_batch_size if batches else 0,
            "input": [_tensor(spec, batches=batches) for spec in route.signature.inputs],
            "output": [_tensor(spec, batches=batches) for spec in route.signature.outputs],
        }
        if batches:
            delay = round(options.max_delay_ms * 1000)
            config["dynamic_batching"] = {"max_queue_delay_microseconds": delay}
        return config

    def statistics(
        self, grant: Grant, name: str | None = None, version: str | None = None
    ) -> dict[str, Any]:
        """Counts and times of one model, or of all, over all gateways of this host.

        Raises:
            NotFound, Unavailable: no such model.
        """
        routes = (
            self._plane.routes(grant)
            if name is None
            else {name: self._plane.route(grant, name, version)}
        )
        counted = self._statistics(grant.tenant_id)
        return {
            "model_stats": [_statistics(name, route, counted) for name, route in routes.items()]
        }

    def trace_settings(
        self, grant: Grant, name: str | None, update: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The settings, of a model that serves or of the server.

        Raises:
            Invalid: the update would change something.
            NotFound, Unavailable: no such model.
        """
        if name:
            self._plane.route(grant, name)
        return _unchanged("trace", TRACE_SETTINGS, update)

    def log_settings(self, update: Mapping[str, Any]) -> dict[str, Any]:
        """The settings. Raises Invalid when the update would change something."""
        return _unchanged("log", LOG_SETTINGS, update)

    def register_memory(self) -> None:
        """Raises Invalid."""
        raise Invalid("shared memory is not served: send tensors with the request")


def _tensor(spec: TensorSpec, *, batches: bool) -> dict[str, Any]:
    kind = "STRING" if spec.datatype is Datatype.BYTES else spec.datatype.value
    dims = spec.shape[1:] if batches else spec.shape
    return {"name": spec.name, "data_type": f"TYPE_{kind}", "dims": list(dims)}


def _statistics(name: str, route: Route, counted: Mapping[Series, Totals]) -> dict[str, Any]:
    wanted = route.wanted
    series = Series(wanted.tenant_id, wanted.name, wanted.model, wanted.version)
    totals = counted.get(series, Totals())

    def spent(count: int, microseconds: int = 0) -> dict[str, int]:
        return {"count": count, "ns": microseconds * 1000}

    return {
        "name": name,
        "version": str(wanted.version),
        "inference_count": totals.rows,
        "execution_count": totals.calls,
        "inference_stats": {
            "success": spent(totals.succeeded, totals.duration - totals.failed_duration),
            "fail": spent(totals.failed, totals.failed_duration),
            "queue": spent(totals.queued, totals.queue_duration),
            "compute_input": spent(0),
            "compute_infer": spent(totals.calls, totals.inference_duration),
            "compute_output": spent(0),
            "cache_hit": spent(totals.hits),
            "cache_miss": spent(totals.misses),
        },
        "batch_stats": [],
    }


def _unchanged(kind: str, present: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in update.items():
        if name not in present:
            raise Invalid(f"there is no {kind} setting '{name[:80]}'")
        if value is not None and _words(value) != _words(present[name]):
            raise Invalid(f"{kind} setting '{name}' is not for clients to change")
    return dict(present)


def _words(value: Any) -> list[Any]:
    """One value and a list of one are the same: gRPC has lists throughout, REST only one."""
    return value if isinstance(value, list) else [value]
