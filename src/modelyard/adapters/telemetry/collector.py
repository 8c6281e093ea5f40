"""Whether traces have somewhere to go. Light: it imports nothing of OpenTelemetry's."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Final

from modelyard.core.errors import NotInstalled
from modelyard.core.settings import Settings

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def collector_named(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Whether a collector is named, by a setting of ours or in OpenTelemetry's own way.

    Raises:
        NotInstalled: a setting of ours names one, and the libraries for it are missing.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if settings.otlp_endpoint:
        if not _installed():
            raise NotInstalled(
                "otlp_endpoint is set and OpenTelemetry is not installed: "
                "pip install 'modelyard[otel]'"
            )
        return True
    # Some set these for all programs of a host: no reason to refuse to start.
    return any(environ.get(name) for name in _ENDPOINTS) and _installed()


def _installed() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False
