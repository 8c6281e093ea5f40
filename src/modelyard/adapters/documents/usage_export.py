"""Usage for others' billing systems: CSV (RFC 4180), CloudEvents 1.0 and Parquet, as streams."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from modelyard.billing.export import Entry
from modelyard.core.clock import from_microseconds
from modelyard.core.errors import NotInstalled
from modelyard.core.events import PredictionMade
from modelyard.core.metering import charged

Pages = Iterable[list[Entry]]

_INTEGERS: Final = (
    "version",
    "status",
    "rows",
    "bytes_in",
    "bytes_out",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
)
EVENT_TYPE: Final = "modelyard.request.metered"


def record(entry: Entry) -> dict[str, Any]:
    """An entry in the words of every format. Times are in milliseconds; `charged` is what of it
    is: `all`, `produced` or `nothing`.
    """
    event = entry.event
    return {
        "request_id": event.request_id,
        "time": from_microseconds(event.at).isoformat(),
        "tenant_id": event.tenant_id,
        "owner_id": event.owner,
        "key_id": event.key_id,
        "deployment": event.deployment,
        "deployment_id": event.deployment_id,
        "model": event.model,
        "version": event.version,
        "status": event.status,
        "charged": charged(event.status).value,
        "rows": event.rows,
        "bytes_in": event.bytes_in,
        "bytes_out": event.bytes_out,
        "prompt_tokens": event.prompt_tokens,
        "cached_tokens": event.cached_tokens,
        "completion_tokens": event.completion_tokens,
        "from_cache": event.cached,
        "duration_ms": event.duration / 1000,
        "compute_ms": event.compute / 1000,
        "finish": event.finish,
        "price_id": entry.price_id or "",
    }


def usage_csv(pages: Pages) -> Iterator[bytes]:
    """A row for each request, under a line of names."""
    names: list[str] | None = None
    for page in pages:
        text = io.StringIO(newline="")
        rows = csv.writer(text)
        for entry in page:
            values = record(entry)
            if names is None:
                names = list(values)
                rows.writerow(names)
            rows.writerow(values.values())
        yield text.getvalue().encode()


def usage_cloudevents(pages: Pages) -> Iterator[bytes]:
    """A batch in the JSON format: what OpenMeter and Lago take as it is.

    The id is the request's, and source and id together are unique: who counts each pair once
    counts each request once.
    """
    opening = b"["
    for page in pages:
        events = b",".join(msgspec.json.encode(_cloudevent(entry)) for entry in page)
        yield opening + events
        opening = b","
    yield b"]" if opening == b"," else b"[]"


def _cloudevent(entry: Entry) -> Mapping[str, Any]:
    values = record(entry)
    return {
        "specversion": "1.0",
        "id": values.pop("request_id"),
        "source": f"/modelyard/deployments/{values['deployment_id'] or values['deployment']}",
        "type": EVENT_TYPE,
        "subject": values["tenant_id"],
        "time": values.pop("time"),
        "datacontenttype": "application/json",
        "data": values,
    }


def usage_parquet(pages: Pages) -> Iterator[bytes]:
    """A Parquet file, a row group for each page. Raises NotInstalled without the extra `train`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        hint = "usage in Parquet needs pyarrow: pip install 'modelyard[train]'"
        raise NotInstalled(hint) from None
    return _parquet(pages, pyarrow)


def _parquet(pages: Pages, arrow: Any) -> Iterator[bytes]:
    schema = _schema(arrow)
    sink = _Sink()
    with arrow.parquet.ParquetWriter(arrow.PythonFile(sink, mode="w"), schema) as writer:
        for page in pages:
            rows = [record(entry) for entry in page]
            for row, entry in zip(rows, page, strict=True):
                row["time"] = entry.event.at
            writer.write_table(arrow.Table.from_pylist(rows, schema))
            yield sink.take()
    yield sink.take()


def _schema(arrow: Any) -> Any:
    kinds = {name: arrow.int64() for name in _INTEGERS}
    kinds |= dict.fromkeys(("duration_ms", "compute_ms"), arrow.float64())
    kinds |= {"time": arrow.timestamp("us", "UTC"), "from_cache": arrow.bool_()}
    sample = record(_NOTHING)
    return arrow.schema([(name, kinds.get(name, arrow.string())) for name in sample])


class _Sink(io.RawIOBase):
    """Takes what is written, to be handed on."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._written += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        """All since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


_NOTHING: Final = Entry(PredictionMade("", 0, "", "", "", "", 0, 0, 0, 0, 0, 0), None)
