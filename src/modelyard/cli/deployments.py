"""`modelyard deploy` and `modelyard deployments`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from msgspec.structs import replace

from modelyard.cli.display import Flag, Json, facts, listing, print_json, terminal
from modelyard.cli.failure import CommandFailed
from modelyard.cli.models import name_of
from modelyard_client import (
    ApiError,
    CacheOptions,
    Client,
    LanguageOptions,
    ReplicaOptions,
    ServingOptions,
)
from modelyard_client.deployments import Deployment


@dataclass(frozen=True)
class Options:
    """How a deployment is served."""

    max_batch_size: int | None = None
    """Most rows in one call of the model."""
    max_delay_ms: float | None = None
    """How long a batch that is not full waits for company."""
    max_queue: int | None = None
    """Requests that may wait for the model; more are refused."""
    timeout_ms: int | None = None
    """Longest that a request may take."""
    cache_ttl: float | None = None
    """Seconds for which answers are kept for equal inputs; 0: not at all."""
    replicas: str | None = None
    """Processes of the model's own: a number, or the fewest and the most, as in 0..3."""
    target_concurrency: int | None = None
    """Requests at a time that one replica is there for."""
    pin: bool | None = None
    """Keep replicas in memory when others need it."""
    idle_seconds: float | None = None
    """Without a request for so long, replicas beyond the fewest end."""
    memory_bytes: int | None = None
    """Most memory of one replica; 0 leaves it to the server."""
    engine: Literal["auto", "openvino", "llamacpp"] | None = None
    """What runs a language model; auto is what was fastest when it was registered."""
    context: int | None = None
    """Most tokens of a prompt and its answer together."""
    slots: int | None = None
    """Answers of a language model that are generated at once."""
    threads: int | None = None
    """Threads that a language model computes with; 0 is one for each core."""
    kv_cache_mb: int | None = None
    """MiB for the keys and values of all answers of a language model at once."""
    chat_template: Path | None = None
    """A file with a Jinja template in the place of the model's own."""


_OF_LANGUAGE = ("engine", "context", "slots", "threads", "kv_cache_mb", "chat_template")


def deploy(
    model: str,
    /,
    *,
    name: Annotated[str | None, Parameter(name="--as")] = None,
    wait: Flag = False,
    timeout: float = 60.0,
    options: Annotated[Options, Parameter(name="*")] = Options(),
    json: Json = False,
) -> None:
    """Serve a version of a model under a name on the data plane.

    A name that is in use changes over to the new version without a failed request.

    Args:
        model: MODEL, MODEL:VERSION or MODEL@ALIAS; the newest version if neither is given.
        name: The deployment's name; the model's own if not given.
        wait: Wait until every gateway serves it.
        timeout: How many seconds to wait at most.
        options: How it is served; what is not given stays as it is.
    """
    with Client() as client:
        named = name or name_of(model)
        deployment = client.deployments.put(named, model, _changed(client, named, options))
        if wait:
            deployment = client.deployments.wait_ready(deployment.name, timeout)
    if json:
        print_json(deployment)
        return
    state = deployment.status.state
    terminal().print(f"deployment {deployment.name} of {deployment.spec.model}: {state}")


def list_all(*, json: Json = False) -> None:
    """List the deployments by name."""
    with Client() as client:
        deployments = client.deployments.list()
    if json:
        print_json(deployments)
        return
    rows = [
        (d.name, d.spec.model, _version(d), d.status.state, _gateways(d), d.updated_at)
        for d in deployments
    ]
    headings = ("DEPLOYMENT", "MODEL", "VERSION", "STATE", "GATEWAYS", "CHANGED")
    listing(headings, rows, "no deployments: 'modelyard deploy'")


def show(name: str, /, *, json: Json = False) -> None:
    """Show one deployment.

    Args:
        name: The deployment.
    """
    with Client() as client:
        shown = client.deployments.get(name)
    if json:
        print_json(shown)
        return
    options = shown.spec.options
    terminal().print(
        facts(
            [
                ("deployment", shown.name),
                ("model", shown.spec.model),
                ("version", _version(shown)),
                ("state", shown.status.state),
                ("reason", shown.status.reason),
                ("gateways", _gateways(shown)),
                ("batches", f"up to {options.max_batch_size} rows{_delay(options)}"),
                ("queue", f"up to {options.max_queue} requests"),
                ("time limit", f"{options.timeout_ms} ms"),
                ("cache", "off" if options.cache is None else f"{options.cache.ttl_seconds:g} s"),
                ("replicas", _replicas(shown)),
                ("engine", _language(options.language)),
                ("generation", shown.generation),
                ("created", shown.created_at),
                ("changed", shown.updated_at),
            ]
        )
    )


def delete(name: str, /, *, json: Json = False) -> None:
    """Take a deployment off the data plane. The model stays.

    Args:
        name: The deployment.
    """
    with Client() as client:
        client.deployments.delete(name)
    if json:
        print_json({"deleted": name})
    else:
        terminal().print(f"deployment {name} is deleted")


def _changed(client: Client, name: str, given: Options) -> ServingOptions | None:
    """The options that the deployment has, but for those that are given; None if none are."""
    changes = {key: value for key, value in asdict(given).items() if value is not None}
    if not changes:
        return None
    try:
        present = client.deployments.get(name).spec.options
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        present = ServingOptions()
    if "cache_ttl" in changes:
        seconds = changes.pop("cache_ttl")
        kept = present.cache or CacheOptions()
        changes["cache"] = replace(kept, ttl_seconds=seconds) if seconds else None
    if "pin" in changes:
        changes["pinned"] = changes.pop("pin")
    replicas = {}
    if "replicas" in changes:
        replicas = _range(changes.pop("replicas"))
    if "target_concurrency" in changes:
        replicas["target_concurrency"] = changes.pop("target_concurrency")
    language = {name: changes.pop(name) for name in _OF_LANGUAGE if name in changes}
    if "chat_template" in language:
        language["chat_template"] = _text_of(language["chat_template"])
    if language:
        changes["language"] = replace(present.language or LanguageOptions(), **language)
    if replicas:
        changes["replicas"] = replace(present.replicas or ReplicaOptions(), **replicas)
    return replace(present, **changes)


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"the chat template cannot be read: {error}") from None


def _range(text: str) -> dict[str, int]:
    """`2` or `0..3` as the fewest and the most."""
    fewest, dots, most = text.partition("..")
    try:
        low = int(fewest)
        return {"min": low, "max": int(most) if dots else low}
    except ValueError:
        raise CommandFailed(
            f"--replicas is a number or two, such as 2 or 0..3, not '{text}'"
        ) from None


def _replicas(shown: Deployment) -> str:
    options, now = shown.spec.options, shown.status.replicas
    parts = ["none, in the gateways" if now is None else f"{now} now"]
    if (chosen := options.replicas) is not None:
        parts.append(f"{chosen.min} to {chosen.max}")
        parts.append(f"one for {chosen.target_concurrency} requests at a time")
    if options.pinned:
        parts.append("pinned")
    return ", ".join(parts)


def _language(options: LanguageOptions | None) -> str | None:
    if options is None:
        return None
    told = (("context", options.context), ("slots", options.slots), ("threads", options.threads))
    parts = [options.engine, *(f"{name} {value}" for name, value in told if value)]
    if options.kv_cache_mb:
        parts.append(f"cache {options.kv_cache_mb} MiB")
    if options.chat_template:
        parts.append("a chat template of its own")
    return ", ".join(parts)


def _version(deployment: Deployment) -> str:
    target = deployment.status.target
    return "-" if target is None else f"{target.model}:{target.number}"


def _delay(options: ServingOptions) -> str:
    return f", after {options.max_delay_ms:g} ms" if options.max_delay_ms else ""


def _gateways(deployment: Deployment) -> str:
    return f"{deployment.status.gateways_ready} of {deployment.status.gateways}"
