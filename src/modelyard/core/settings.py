"""Settings: one flat table of names, each with a default and a meaning.

Precedence, highest first: a command-line flag, the environment (`MODELYARD_<NAME>`), the file
`modelyard.toml` in the home, the default.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from modelyard.core.addresses import parse_networks
from modelyard.core.errors import Invalid

PREFIX: Final = "MODELYARD_"
FILE: Final = "modelyard.toml"
SECRETS: Final = frozenset({"admin_key", "database_url", "otlp_headers"})

_MIB: Final = 1 << 20


def _doc(text: str, **bounds: Any) -> Any:
    return Meta(description=text, **bounds)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in force. The descriptions are the reference documentation of each setting."""

    home: Annotated[str, _doc("Folder of database, blobs, journal and keys.", min_length=1)] = (
        "~/.modelyard"
    )
    host: Annotated[str, _doc("Address to listen on. Loopback unless you say otherwise.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, _doc("HTTP port; 0 takes a free one.", ge=0, le=65535)] = 8000
    grpc_port: Annotated[
        int, _doc("gRPC port; 0 takes a free one, -1 serves no gRPC.", ge=-1, le=65535)
    ] = 8001
    workers: Annotated[
        int, _doc("Gateway processes on the port; 0 is one per core.", ge=0, le=256)
    ] = 0
    job_workers: Annotated[
        int, _doc("Processes that take jobs from the queue, one job each.", ge=0, le=64)
    ] = 1
    database_url: Annotated[
        str,
        _doc("SQLAlchemy URL such as postgresql+psycopg://...; empty is SQLite in the home."),
    ] = ""
    admin_key: Annotated[
        str,
        _doc("The operator's key at the first start; empty has one made and shown once."),
    ] = ""
    journal_sync: Annotated[
        Literal["interval", "always"],
        _doc("`interval`: fsync on a timer. `always`: every answer waits for its group's fsync."),
    ] = "interval"
    journal_sync_ms: Annotated[
        int, _doc("Milliseconds between fsyncs under `interval`.", ge=1, le=60_000)
    ] = 50
    max_request_bytes: Annotated[int, _doc("Largest body of an inference request.", ge=1024)] = (
        64 * _MIB
    )
    max_inflight_bytes: Annotated[
        int,
        _doc(
            "Bodies of all inference requests that one gateway has not answered yet; never less "
            "than one largest body.",
            ge=1024,
        ),
    ] = 512 * _MIB
    max_connections: Annotated[
        int, _doc("HTTP connections of one gateway; more are told 503.", ge=1, le=1_000_000)
    ] = 4096
    max_connections_per_address: Annotated[
        int,
        _doc(
            "HTTP connections of one gateway from one address; more are told 429. 0 is no bound, "
            "for servers behind a proxy.",
            ge=0,
            le=1_000_000,
        ),
    ] = 1024
    trusted_proxies: Annotated[
        str,
        _doc(
            "Networks (CIDR, commas between) of proxies whose X-Forwarded-For tells where a caller "
            "is, for keys that are bound to addresses; empty believes none."
        ),
    ] = ""
    max_url_bytes: Annotated[
        int, _doc("Longest target of a request; beyond is 414.", ge=256, le=65_536)
    ] = 8192
    max_header_bytes: Annotated[
        int,
        _doc("Names and values of a request's headers; beyond is 431.", ge=1024, le=_MIB),
    ] = 32_768
    max_headers: Annotated[int, _doc("Headers of a request; beyond is 431.", ge=16, le=10_000)] = (
        100
    )
    header_seconds: Annotated[
        float, _doc("Time for a request's head to come; beyond is 408.", gt=0, le=3600)
    ] = 10.0
    body_seconds: Annotated[
        float,
        _doc(
            "Time for a request's body to come, beside what it takes at `min_body_rate`; beyond "
            "is 408.",
            gt=0,
            le=3600,
        ),
    ] = 20.0
    min_body_rate: Annotated[
        int, _doc("Bytes a second at which a body must come on average.", ge=1)
    ] = 16_384
    idle_seconds: Annotated[
        float, _doc("Time after which a connection without a request is closed.", gt=0, le=86_400)
    ] = 75.0
    send_seconds: Annotated[
        float,
        _doc("Time in which a client must go on taking an answer, or is cut off.", gt=0, le=3600),
    ] = 30.0
    max_upload_bytes: Annotated[int, _doc("Largest file that can be uploaded.", ge=1024)] = (
        1024 * _MIB
    )
    job_seconds: Annotated[
        int,
        _doc("Longest that one attempt of a job may take; 0 is no limit.", ge=0, le=10_000_000),
    ] = 0
    trial_workers: Annotated[
        int,
        _doc(
            "Trials that one tuning job may run at once, each in a process; 0 is one per core.",
            ge=0,
            le=64,
        ),
    ] = 0
    task_memory_bytes: Annotated[
        int,
        _doc("Address space of a training, inspection or import process.", ge=512 * _MIB),
    ] = 8192 * _MIB
    sandbox: Annotated[
        Literal["auto", "reduced", "full"],
        _doc(
            "The least level of sandbox to start with; `auto` takes what the host allows. "
            "Formats that can run code need `reduced`, whatever is set here."
        ),
    ] = "auto"
    inspect_seconds: Annotated[
        # Below the time after which an unanswered idempotency key counts as abandoned.
        int, _doc("Time limit for reading an uploaded file.", ge=1, le=240)
    ] = 120
    replica_memory_bytes: Annotated[
        int,
        _doc(
            "Memory of all replicas that run in processes of their own; 0 is 70 % of what is free "
            "at start.",
            ge=0,
        ),
    ] = 0
    inline_ms: Annotated[
        float,
        _doc(
            "A model whose call takes longer than this leaves the event loop.",
            gt=0,
            le=1000,
        ),
    ] = 0.25
    inline_memory_bytes: Annotated[
        int,
        _doc(
            "Memory for models in each gateway; those beyond it get processes of their own.",
            ge=0,
        ),
    ] = 512 * _MIB
    max_answer_bytes: Annotated[
        int,
        _doc("Largest answer of a model in a process of its own.", ge=1024, lt=1 << 32),
    ] = 64 * _MIB
    provider_allow: Annotated[
        str,
        _doc(
            "Ranges of addresses, beside those of the public internet, at which providers may be "
            "asked, such as 127.0.0.0/8,10.1.0.0/16; empty is none."
        ),
    ] = ""
    invoice_after_hours: Annotated[
        int,
        _doc(
            "Hours after a tenant's month is over at which its invoice is finalised; 0 leaves that "
            "to the operator. What comes in later is on the next one.",
            ge=0,
            le=672,
        ),
    ] = 0
    currency: Annotated[str, _doc("ISO 4217 code of all prices.", pattern="^[A-Z]{3}$")] = "USD"
    drain_seconds: Annotated[
        float,
        _doc(
            "How long requests in flight may take to finish after SIGTERM.",
            ge=0,
            le=3600,
        ),
    ] = 30.0
    drain_delay: Annotated[
        float,
        _doc(
            "Seconds after SIGTERM in which new requests are still answered.",
            ge=0,
            le=600,
        ),
    ] = 0.5
    log_format: Annotated[
        Literal["auto", "json", "console"],
        _doc("`auto` is JSON when not on a terminal."),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _doc("The least that is logged.")
    ] = "info"

    otlp_endpoint: Annotated[
        str,
        _doc(
            "OTLP/HTTP collector that traces go to, such as http://127.0.0.1:4318; empty takes "
            "OTEL_EXPORTER_OTLP_ENDPOINT, and without that there are no traces.",
            pattern=r"^(https?://\S+)?$",
        ),
    ] = ""
    otlp_headers: Annotated[
        str,
        _doc(
            "Headers for the collector, name=value with commas between; empty takes "
            "OTEL_EXPORTER_OTLP_HEADERS.",
            pattern=r"^([^=,\s]+=[^,]+(,[^=,\s]+=[^,]+)*)?$",
        ),
    ] = ""
    service_name: Annotated[
        str, _doc("Name of this server in traces; empty takes OTEL_SERVICE_NAME, or `modelyard`.")
    ] = ""
    trace_ratio: Annotated[
        float,
        _doc(
            "Share of requests that are traced. One with a `traceparent` brings its own decision.",
            ge=0,
            le=1,
        ),
    ] = 1.0

    @property
    def home_path(self) -> Path:
        """The home as an absolute path."""
        return Path(self.home).expanduser().absolute()

    @property
    def proxies(self) -> tuple[str, ...]:
        """The networks of `trusted_proxies`. Raises Invalid."""
        return parse_networks(filter(None, self.trusted_proxies.split(",")))

    @property
    def gateways(self) -> int:
        """How many gateway processes to run."""
        return self.workers or os.cpu_count() or 1


class Resolved(msgspec.Struct, frozen=True):
    """The settings, and for each one where its value came from."""

    settings: Settings
    sources: Mapping[str, str]


def resolve(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Resolved:
    """Put the settings together. Flags whose value is None were not given.

    Raises:
        Invalid: an unknown name, a value of the wrong kind or out of bounds, or a file that is
            not TOML; the message says which and where it came from.
    """
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    given = {name: value for name, value in flags.items() if value is not None}
    from_environ = {
        name: environ[PREFIX + name.upper()] for name in fields if PREFIX + name.upper() in environ
    }
    home = Path(given.get("home") or from_environ.get("home") or fields["home"].default)
    path = home.expanduser() / FILE
    from_file = _read(path)
    values: dict[str, Any] = {}
    sources = dict.fromkeys(fields, "default")
    for origin, layer in (
        (str(path), from_file),
        ("environment", from_environ),
        ("flag", given),
    ):
        for name, value in layer.items():
            if name not in fields:
                raise Invalid(f"{origin}: there is no setting '{name}'")
            where = f"{PREFIX}{name.upper()}" if origin == "environment" else origin
            values[name] = _convert(name, value, fields[name].type, where)
            sources[name] = where
    return Resolved(Settings(**values), sources)


def misspelt(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that look like a setting and are none, each with the one that may be meant."""
    known = [PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings)]
    near = {
        name: difflib.get_close_matches(name, known, n=1, cutoff=0.9)
        for name in environ
        if name.startswith(PREFIX) and name not in known
    }
    return {name: found[0] for name, found in near.items() if found}


def _read(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Invalid(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}: not valid TOML: {error}") from None
    if "home" in values:
        raise Invalid(f"{path}: 'home' cannot be set in a file that lies in the home")
    return values


def _convert(name: str, value: Any, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, kind, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        shown = "" if name in SECRETS else f" {value!r}"
        raise Invalid(f"setting '{name}' from {where}:{shown} is not valid: {error}") from None
