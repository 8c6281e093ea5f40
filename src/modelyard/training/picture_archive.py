"""Archives of pictures as tables: a folder for each class, or a table that names files.

A ZIP is read by our own reader, within bounds, and nothing of it is written to disk but its table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from modelyard.core.errors import Invalid, ModelyardError, TooLarge, UnsupportedFormat
from modelyard.registry.archives import ArchiveLimits, Damaged, ZipArchive
from modelyard.training.delimited import read_delimited
from modelyard.training.jsonlines import read_jsonlines
from modelyard.training.pixels import check_decoder
from modelyard.training.source import Source, check_names

if TYPE_CHECKING:
    import polars as pl

LIMITS: Final = ArchiveLimits(entries=200_000)
MAX_TABLE: Final = 256 << 20
"""Bytes of the table within the archive."""
MAX_UNREADABLE: Final = 0.1
"""The share of pictures that may be left out because they cannot be read."""
NAMED: Final = 5
"""Files that are named where there are many."""

IMAGE: Final = "image"
FILE: Final = "file"
LABEL: Final = "label"

_PICTURES: Final = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
_TABLES: Final = (".csv", ".tsv", ".jsonl")
_WORKBOOK: Final = "[Content_Types].xml"
_DECODED: Final = 64
"""A shorter side that is enough to see that a picture can be decoded."""


def read_pictures(source: Source, scratch: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The archive as a table with the columns `image`, `file` and `label`, or those of its table
    and `image`; and what was left out.

    Raises:
        UnsupportedFormat: the archive holds no pictures.
        Invalid: an entry that is refused, pictures without a class, a table that names what is not
            there, or too many that cannot be read; the message names the entry.
        TooLarge: over the bounds.
    """
    try:
        archive = ZipArchive(source.path, LIMITS)
        names = [member.name for member in archive.members if not member.folder]
        if _WORKBOOK in names:
            raise UnsupportedFormat("this is an Excel workbook: save the sheet as CSV")
        check_decoder()
        return _Reading(archive, scratch).table()
    except ModelyardError as error:
        kind = Invalid if isinstance(error, Damaged) else type(error)
        raise kind(f"{source.name}: {error.message}") from None


class _Reading:
    """One archive on its way into a table."""

    def __init__(self, archive: ZipArchive, scratch: Path) -> None:
        self._archive = archive
        self._scratch = scratch
        self._pictures: dict[str, bytes] = {}
        self._unreadable: dict[str, str] = {}
        self._table: Path | None = None
        self._table_name = ""
        self._others: list[str] = []

    def table(self) -> tuple[pl.DataFrame, tuple[str, ...]]:
        self._read()
        if not self._pictures and not self._unreadable:
            raise UnsupportedFormat(
                "the archive holds no pictures (.jpg, .png, .webp, .gif, .bmp): a data set of "
                "images is a ZIP with a folder for each class, or with a table that names files"
            )
        self._check_readable()
        frame = self._by_folder() if self._table is None else self._by_table(self._table)
        return frame, self._warnings()

    def _read(self) -> None:
        """Take every picture in, and look whether it can be decoded."""
        for member, content in self._archive.walk():
            name, suffix = member.name, Path(member.path[-1]).suffix.lower()
            if member.folder or _is_hidden(member.path):
                _skip(content)
            elif suffix in _PICTURES:
                self._add(name, b"".join(content))
            elif suffix in _TABLES:
                self._keep_table(name, member.size, content)
            else:
                self._others.append(name)
                _skip(content)

    def _add(self, name: str, data: bytes) -> None:
        from modelyard.serving.runtimes.pictures import decode

        try:
            decode(data, least=_DECODED)
        except Invalid as error:
            self._unreadable[name] = error.message
        else:
            self._pictures[name] = data

    def _keep_table(self, name: str, size: int, content: Iterator[bytes]) -> None:
        if self._table is not None:
            raise Invalid(f"there are two tables, '{self._table_name}' and '{name}'; one is read")
        if size > MAX_TABLE:
            raise TooLarge(f"'{name}' has over {MAX_TABLE >> 20} MiB, which is the most")
        self._table, self._table_name = self._scratch / "named.table", name
        with self._table.open("xb") as file:
            file.writelines(content)

    def _check_readable(self) -> None:
        bad, every = len(self._unreadable), len(self._unreadable) + len(self._pictures)
        if not self._pictures or bad > MAX_UNREADABLE * every:
            raise Invalid(f"{bad} of {every} pictures cannot be read: {self._shown_unreadable()}")

    def _shown_unreadable(self) -> str:
        first = [f"'{name}': {why}" for name, why in list(self._unreadable.items())[:NAMED]]
        rest = len(self._unreadable) - len(first)
        return "; ".join(first) + (f"; and {rest} more" if rest else "")

    def _by_folder(self) -> pl.DataFrame:
        import polars as pl

        for name in self._pictures:
            if "/" not in name:
                raise Invalid(
                    f"picture '{name}' lies in no folder: the folder that it is in names its "
                    "class, unless a table (.csv) names the files"
                )
        return pl.DataFrame(
            {
                IMAGE: list(self._pictures.values()),
                FILE: list(self._pictures),
                LABEL: [name.split("/")[-2] for name in self._pictures],
            },
            schema={IMAGE: pl.Binary, FILE: pl.String, LABEL: pl.String},
        )

    def _by_table(self, path: Path) -> pl.DataFrame:
        import polars as pl

        source = Source(path, self._table_name)
        read_lines = self._table_name.lower().endswith(".jsonl")
        frame = read_jsonlines(source) if read_lines else read_delimited(source, self._scratch)
        if IMAGE in frame.columns and frame.schema[IMAGE] != pl.String:
            raise source.invalid(f"the column '{IMAGE}' is for the pictures: call it otherwise")
        column, found = self._named(source, frame)
        kept = [place for place, name in enumerate(found) if name in self._pictures]
        files = [self._pictures[found[place]] for place in kept]
        frame = frame[kept]
        if column == IMAGE:
            frame = frame.rename({column: FILE}) if FILE not in frame.columns else frame.drop(IMAGE)
        frame = frame.insert_column(0, pl.Series(IMAGE, files, dtype=pl.Binary))
        check_names(source, frame.columns)
        return frame

    def _named(self, source: Source, frame: pl.DataFrame) -> tuple[str, Sequence[str]]:
        """The column that names files, and the entry that each row means."""
        import polars as pl

        entries = _entries([*self._pictures, *self._unreadable], self._table_name)
        best, least = "", 0
        for name, dtype in frame.schema.items():
            if dtype == pl.String:
                known = sum(value in entries for value in frame.get_column(name))
                best, least = (name, known) if known > least else (best, least)
        if not best:
            raise source.invalid("no column names files that are in the archive")
        values = frame.get_column(best).to_list()
        for row, value in enumerate(values, 1):
            if value not in entries:
                shown = "no file" if value is None else f"'{value[:80]}', which is not there"
                raise source.invalid(f"row {row} of column '{best}' names {shown}")
        return best, [entries[value] for value in values]

    def _warnings(self) -> tuple[str, ...]:
        lines = []
        if self._unreadable:
            every = len(self._unreadable) + len(self._pictures)
            what = f"left out {len(self._unreadable)} of {every} pictures that cannot be read"
            lines.append(f"{what}: {self._shown_unreadable()}")
        if self._others:
            what = f"passed over {len(self._others)} files that are no pictures"
            lines.append(f"{what}: {_few(self._others)}")
        if self._table is None:
            lines += [
                f"folder '{folder}' holds no picture that can be read: there is no such class"
                for folder in self._empty_folders()[:NAMED]
            ]
        return tuple(lines)

    def _empty_folders(self) -> list[str]:
        """The folders beside those that hold pictures, or above none of them."""
        above = {
            "/".join(parts[:depth])
            for parts in (name.split("/") for name in self._pictures)
            for depth in range(1, len(parts))
        }
        folders = {m.name for m in self._archive.members if m.folder and not _is_hidden(m.path)}
        folders |= {name.rsplit("/", 1)[0] for name in self._unreadable if "/" in name}
        return sorted(folders - above)


def _entries(names: Sequence[str], table: str) -> Mapping[str, str]:
    """What a table may call each file: by its whole path, from its own folder on, or by the last
    part where no other file has the same.
    """
    folder = table.rpartition("/")[0]
    called: dict[str, str] = {}
    twice: set[str] = set()
    for name in names:
        last = name.rsplit("/", 1)[-1]
        if last in called:
            twice.add(last)
        called[last] = name
    for last in twice:
        del called[last]
    for name in names:
        if folder and name.startswith(folder + "/"):
            called[name.removeprefix(folder + "/")] = name
        called[name] = name
    return called


def _is_hidden(path: Sequence[str]) -> bool:
    """Whether it is what file managers leave: `.DS_Store`, `__MACOSX`, `Thumbs.db`."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path) or (
        path[-1].lower() in ("thumbs.db", "desktop.ini")
    )


def _skip(content: Iterator[Any]) -> None:
    for _ in content:
        pass


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name[:80]}'" for name in names[:NAMED])
    return shown + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
