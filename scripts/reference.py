"""Write the parts of docs/reference that come from the code; `--check` says which are stale.

A page is written by hand around its generated regions:

    <!-- generated: settings -->
    ...
    <!-- end -->
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import msgspec

if TYPE_CHECKING:
    from modelyard.training.trainers.algorithm import Axis

FOLDER: Final = Path(__file__).parents[1] / "docs/reference"
_REGION: Final = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.S)


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` return 1 and name those that would change."""
    stale = []
    for path in sorted(FOLDER.glob("*.md")):
        present = path.read_text(encoding="utf-8")
        wanted = _REGION.sub(lambda found: f"{found[1]}{REGIONS[found[2]]()}\n{found[3]}", present)
        if wanted != present:
            stale.append(path.name)
            if "--check" not in arguments:
                path.write_text(wanted, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"docs/reference: stale: {', '.join(stale)}: run 'make docs'")
        return 1
    return 0


def settings() -> str:
    """Each setting with its variable, type, default and meaning."""
    from modelyard.core.settings import PREFIX, SECRETS, Settings

    rows = []
    for field in msgspec.structs.fields(Settings):
        kind, meta = get_args(field.type)
        default = "" if field.default == "" else f"`{field.default}`"
        secret = " A secret: never shown." if field.name in SECRETS else ""
        rows.append(
            (
                f"`{field.name}`",
                f"`{PREFIX}{field.name.upper()}`",
                _kind(kind, meta),
                default or "empty",
                f"{meta.description}{secret}",
            )
        )
    return _table(("name", "variable", "type", "default", "meaning"), rows)


def commands() -> str:
    """Every command with its arguments and options."""
    from modelyard.cli.app import build

    text = build().generate_docs(output_format="markdown", heading_level=1)
    # The page has its own title, and a table of contents made by hand would not be one.
    _, _, body = text.partition("\n## modelyard up")
    body = "\n## modelyard up" + body
    return "\n" + body.replace("```console", "```text").strip() + "\n"


def routes() -> str:
    """Every route of the management API by noun, then the shapes of what goes in and out."""
    description = _description()
    parts = []
    for tag in description["tags"]:
        rows = [
            (
                f"`{method.upper()} {path}`",
                operation["summary"],
                _shape(operation.get("requestBody", {}).get("content", {})),
                _answer(operation["responses"]),
            )
            for path, operations in description["paths"].items()
            for method, operation in operations.items()
            if tag["name"] in operation["tags"]
        ]
        table = _table(("route", "what it does", "takes", "gives"), rows)
        parts.append(f"\n### {tag['name'].capitalize()}\n\n{tag['description']}\n{table}")
    return "".join(parts)


def shapes() -> str:
    """The fields of every JSON document of the management API."""
    parts = []
    for name, schema in sorted(_description()["components"]["schemas"].items()):
        if "properties" not in schema:
            values = ", ".join(f"`{value}`" for value in schema.get("enum", []))
            parts.append(f"\n#### {name}\n\nOne of {values}.\n")
            continue
        required = schema.get("required", [])
        rows = [
            (
                f"`{field}`",
                _type(about),
                "yes" if field in required else "",
                _sentence(about.get("description", "")),
            )
            for field, about in schema["properties"].items()
        ]
        parts.append(f"\n#### {name}\n{_table(('field', 'type', 'required', 'meaning'), rows)}")
    return "".join(parts)


def errors() -> str:
    """Each class of expected failure: its code, its status in both protocols, what it means."""
    from modelyard.api.grpc.statuses import code_of
    from modelyard.api.statuses import status_of
    from modelyard.core import errors as known
    from modelyard.core.errors import ModelyardError

    rows = []
    for kind in vars(known).values():
        if (
            isinstance(kind, type)
            and issubclass(kind, ModelyardError)
            and kind is not ModelyardError
        ):
            status = status_of(kind(""))
            meaning = _sentence(kind.__doc__ or "")
            http = f"{status.value} {status.phrase}"
            rows.append((f"`{kind.code}`", http, code_of(kind("")).name, meaning))
    return _table(("code", "HTTP status", "gRPC status", "meaning"), rows)


def algorithms() -> str:
    """Each algorithm with its tasks, its parameters and their bounds."""
    from modelyard.training.trainers.catalogue import ALGORITHMS

    parts = []
    for algorithm in ALGORITHMS.values():
        tasks = " and ".join(sorted(algorithm.tasks))
        parts.append(f"\n### {algorithm.name}\n\n{tasks.capitalize()}.\n")
        rows = [(f"`{name}`", one.expected) for name, one in sorted(algorithm.parameters.items())]
        parts.append(_table(("parameter", "values"), rows) if rows else "\nNo parameters.\n")
        if algorithm.streaming is not None:
            parts.append("\nLearns from a stream, too.\n")
        sought = [f"`{name}` {_sought(axis)}" for name, axis in sorted(algorithm.space.items())]
        if sought:
            parts.append(f"\nTuning looks for {'; '.join(sought)}.\n")
    return "".join(parts)


def _sought(axis: Axis) -> str:
    if axis.choices:
        return "among " + ", ".join(str(one) for one in axis.choices)
    scale = ", by orders of magnitude" if axis.log else ""
    return f"from {axis.low:g} to {axis.high:g}{scale}"


def scores() -> str:
    """The metrics of each task."""
    from modelyard.training.evaluator import METRICS

    rows = [
        (str(task), ", ".join(f"`{name}`" for name in names)) for task, names in METRICS.items()
    ]
    return _table(("task", "metrics"), rows)


def limits() -> str:
    """Bounds that no setting changes."""
    from modelyard.api import capacity
    from modelyard.api.grpc import calls, server
    from modelyard.api.limits import ConnectionLimits
    from modelyard.api.management import admission, bodies, idempotency, job_stream, uploads
    from modelyard.core import elements, jobs, pages
    from modelyard.core.idempotency import KEEP
    from modelyard.serving.runtimes import text
    from modelyard.tenancy import key, service
    from modelyard.training import problem, source

    lanes = ", ".join(f"{width} {lane}" for lane, width in admission.WIDTH.items())
    wire = ConnectionLimits(max_body=0)
    rows: Iterable[tuple[str, str]] = (
        ("inference requests that wait on one connection", f"{wire.max_pipeline}"),
        ("or that wait there with bodies of", f"{wire.max_ahead:,} bytes"),
        ("a body that is read only for a good key", f"{wire.large_body:,} bytes or more"),
        ("connections over their bound that are told so", f"{capacity.REFUSED_AT_ONCE}"),
        ("time for a refusal to be taken", f"{wire.linger_seconds:g} s"),
        ("gRPC calls at once in one gateway", f"{server.MAX_CALLS:,}"),
        ("gRPC calls at once on one connection", f"{server.MAX_STREAMS}"),
        ("requests of one gRPC stream that are under way", f"{calls.WINDOW}"),
        ("metadata of a gRPC call", f"{server.MAX_METADATA:,} bytes"),
        ("body of a management request", f"{bodies.MAX_BODY:,} bytes"),
        ("items on a page", f"{pages.MAX_PAGE}"),
        ("management requests at work in one gateway", lanes),
        ("requests that wait for each of these", f"{admission.QUEUE}"),
        ("their wait for a turn", f"{admission.PATIENCE:g} s, then 503"),
        ("silence within an upload", f"{uploads.SILENCE:g} s"),
        ("length of an Idempotency-Key", f"{idempotency.MAX_KEY} characters"),
        ("life of an Idempotency-Key", f"{KEEP.total_seconds() / 3600:g} hours"),
        ("one event stream", f"{job_stream.LONGEST:g} s; the client comes back"),
        ("length of a key that is presented", f"{key.MAX_KEY} characters"),
        ("length of an operator's key of your own", f"{key.MIN_OPERATOR_KEY} characters at least"),
        ("length of a key's name", f"{service.MAX_KEY_NAME} characters"),
        ("rows of a dataset", f"{source.MAX_ROWS:,}"),
        ("columns of a dataset", f"{source.MAX_COLUMNS:,}"),
        ("rows with a target, to train on", f"{problem.MIN_ROWS} at least"),
        ("classes of a target", f"{problem.MAX_CLASSES:,}"),
        ("attempts of a job", f"{jobs.MAX_ATTEMPTS}"),
        (
            "lease of a job",
            f"{jobs.LEASE.total_seconds():g} s, renewed every {jobs.HEARTBEAT.total_seconds():g} s",
        ),
        ("dimensions of a tensor", f"{elements.MAX_DIMENSIONS}"),
        ("values of a tensor", f"{elements.MAX_VALUES:,}"),
        ("length of one text", f"{text.MAX_CHARACTERS:,} characters"),
        ("rows times vocabulary of a request to a text model", f"{text.MAX_CELLS:,}"),
    )
    return _table(("what", "bound"), rows)


def metrics() -> str:
    """The statuses and the buckets that the metrics know."""
    from modelyard.serving.slots import BUCKETS, CODES, FIRST_TOKENS, NEXT_TOKENS, SIZES

    rows = [
        ("`code`", ", ".join(map(str, CODES)) + "; any other status by its class, such as `5xx`"),
        ("`le`, seconds", ", ".join(f"{bound / 1000:g}" for bound in BUCKETS) + ", +Inf"),
        *(
            (f"`le`, seconds {of}", ", ".join(f"{bound / 1000:g}" for bound in bounds) + ", +Inf")
            for of, bounds in (
                ("to a first token", FIRST_TOKENS),
                ("between tokens", NEXT_TOKENS),
            )
        ),
        ("`le`, rows", ", ".join(map(str, SIZES)) + ", +Inf"),
    ]
    return _table(("label", "values"), rows)


def event() -> str:
    """The fields of a journal record, in order."""
    from modelyard.core.events import PredictionMade

    fields = msgspec.structs.fields(PredictionMade)
    rows = [(str(at), f"`{field.name}`", _python(field.type)) for at, field in enumerate(fields)]
    return _table(("place", "field", "type"), rows)


REGIONS: Final[Mapping[str, Callable[[], str]]] = {
    "settings": settings,
    "commands": commands,
    "routes": routes,
    "shapes": shapes,
    "errors": errors,
    "algorithms": algorithms,
    "scores": scores,
    "limits": limits,
    "metrics": metrics,
    "event": event,
}


def _description() -> Any:
    from litestar import Router

    from modelyard.api.management.application import NOUNS, PREFIX
    from modelyard.api.management.dependencies import provided
    from modelyard.api.management.description import describe

    # The description is made from the routes alone: no service is called for it.
    services = cast(Any, None)
    return msgspec.json.decode(
        describe(Router(PREFIX, route_handlers=list(NOUNS)), provided(services))
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(headings), " | ".join("---" for _ in headings)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n" + "".join(f"| {line} |\n" for line in lines)


def _kind(kind: Any, meta: msgspec.Meta) -> str:
    if choices := get_args(kind):
        return " or ".join(f"`{choice}`" for choice in choices)
    name = {"str": "text", "int": "whole number", "float": "number"}[kind.__name__]
    least = f"{'more than ' if meta.ge is None else ''}{_number(meta.ge, meta.gt)}"
    if meta.ge is None and meta.gt is None:
        return name
    return f"{name}, {least} to {meta.le}" if meta.le is not None else f"{name}, at least {least}"


def _number(*bounds: float | None) -> str:
    return next((f"{bound}" for bound in bounds if bound is not None), "")


def _shape(content: Mapping[str, Any]) -> str:
    for media_type, about in content.items():
        schema = about.get("schema", {})
        return _type(schema) if "$ref" in schema else f"`{media_type}`"
    return ""


def _answer(responses: Mapping[str, Any]) -> str:
    good = sorted(status for status in responses if status.startswith("2"))
    shape = next((s for s in (_shape(responses[x].get("content", {})) for x in good) if s), "")
    return f"{' or '.join(good)} {shape}".strip()


def _type(schema: Mapping[str, Any]) -> str:
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[key]))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        items = schema.get("items")
        return f"list of {_type(items)}" if items else "list"
    kind = schema.get("format") or schema.get("type") or "any"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _python(kind: Any) -> str:
    names = {"str": "text", "int": "whole number", "bool": "true or false"}
    return names[kind if isinstance(kind, str) else kind.__name__]


def _sentence(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
