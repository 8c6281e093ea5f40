"""ZIP archives as honest tools write them, and as nobody should."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.core.errors import Invalid, ModelyardError, TooLarge, UnsupportedFormat
from modelyard.registry.archives import ArchiveLimits, Damaged, ZipArchive, extract, pack

SMALL = ArchiveLimits(total_bytes=4 << 20, entries=20, free_bytes=1 << 16, depth=4, name_bytes=40)


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as written:
        for name, data in files.items():
            written.writestr(name.replace("__", "/"), data)
    return buffer.getvalue()


def with_entry(name: str, mode: int = 0o100644, data: bytes = b"x") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        entry = zipfile.ZipInfo(name)
        entry.create_system = 3
        entry.external_attr = mode << 16
        written.writestr(entry, data)
    return buffer.getvalue()


def unpack(tmp_path: Path, data: bytes, limits: ArchiveLimits = SMALL) -> dict[str, bytes]:
    (tmp_path / "a.zip").write_bytes(data)
    folder = tmp_path / "out"
    members = extract(ZipArchive(tmp_path / "a.zip", limits), folder)
    return {member.name: (folder / member.name).read_bytes() for member in members}


def refused(tmp_path: Path, data: bytes, limits: ArchiveLimits = SMALL) -> str:
    with pytest.raises(ModelyardError) as caught:
        unpack(tmp_path, data, limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]
    assert str(tmp_path) not in caught.value.message
    return f"{type(caught.value).__name__}: {caught.value.message}"


def test_what_was_packed_comes_out(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(300_000)
    files = {"a.txt": b"hello", "folder__b.bin": noise, "empty": b"", "zeros": bytes(60_000)}
    out = unpack(tmp_path, archive(**files))
    assert out == {name.replace("__", "/"): data for name, data in files.items()}
    assert (tmp_path / "out" / "folder").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "out" / "a.txt").stat().st_mode & 0o777 == 0o600


def test_a_stream_writer_leaves_its_sizes_behind_the_bytes(tmp_path: Path) -> None:
    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += data
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("a", b"hello" * 100)
        with written.open("b", "w", force_zip64=True) as entry:
            entry.write(b"wide")
    assert unpack(tmp_path, bytes(stream.data)) == {"a": b"hello" * 100, "b": b"wide"}


def test_packing_a_folder_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "b").write_bytes(b"b" * 10)
    (folder / "a").write_bytes(b"a")
    (folder / "link").symlink_to("/etc/passwd")
    pack(folder, tmp_path / "one.zip")
    (folder / "a").touch()
    pack(folder, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert [m.name for m in ZipArchive(tmp_path / "one.zip").members] == ["a", "deep/b"]


@pytest.mark.parametrize(
    "name",
    [
        "../out.txt",
        "a/../../out.txt",
        "/etc/passwd",
        "C:/windows/x",
        "c:x",
        "..\\out.txt",
        "a//b",
        "a/./b",
        "con",
        "a/NUL.txt",
        "x\n",
        "a\x7fb",
        "n" * 41,
        "a/b/c/d/e",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path, with_entry(name)).startswith("Invalid: the archive is refused")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(0o120777, "a link"), (0o060644, "a device"), (0o020644, "a device"), (0o010644, "a pipe"),
     (0o140644, "a socket")],
)  # fmt: skip
def test_only_regular_files_and_folders_are_taken(tmp_path: Path, mode: int, kind: str) -> None:
    assert f"is {kind}" in refused(tmp_path, with_entry("x", mode))


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_no_path_comes_twice(tmp_path: Path, names: tuple[str, str]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        for name in names:
            if name in written.namelist():
                with pytest.warns(UserWarning, match="Duplicate"):
                    written.writestr(name, b"x")
            else:
                written.writestr(name, b"x")
    assert "is there twice" in refused(tmp_path, buffer.getvalue())


def test_bombs_are_refused(tmp_path: Path) -> None:
    assert "times its size" in refused(tmp_path, archive(bomb=bytes(1 << 20)))
    noise = random.Random(2).randbytes(1 << 20)
    many = archive(**{f"n{at}": noise for at in range(5)})
    assert refused(tmp_path, many).startswith("TooLarge: the archive unpacks to over 4 MiB")
    assert "over 20 entries" in refused(tmp_path, archive(**{f"n{at}": b"" for at in range(21)}))


def _patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def _overlapping(data: bytes) -> bytes:
    """The second directory entry points at the first one's bytes (Fifield's bomb)."""
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    return _patched(data, second + 42, struct.pack("<I", 0))


def _other_name(data: bytes) -> bytes:
    return data.replace(b"first", b"fresh", 1)


def _encrypted(data: bytes) -> bytes:
    return _patched(data, data.index(b"PK\x01\x02") + 8, b"\x01\x00")


def _lzma(data: bytes) -> bytes:
    return _patched(data, data.index(b"PK\x01\x02") + 10, b"\x0e\x00")


def _smaller(data: bytes) -> bytes:
    """Both headers say that the entry unpacks to less than it does."""
    for magic, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        data = _patched(data, data.index(magic) + offset, struct.pack("<I", 3))
    return data


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_overlapping, Invalid),
        (_other_name, Invalid),
        (_encrypted, Invalid),
        (_lzma, UnsupportedFormat),
        (_smaller, Damaged),
        (lambda data: b"#!/bin/sh\n" + data, ModelyardError),
        (lambda data: data[: len(data) // 2], Damaged),
        (lambda data: data + b"trailer", Damaged),
        (lambda data: _patched(data, 40, b"\xff\xff\xff"), Damaged),
    ],
)
def test_what_contradicts_itself_is_refused(
    tmp_path: Path, change: Callable[[bytes], bytes], error: type[ModelyardError]
) -> None:
    data = archive(first=b"abc" * 100, other=b"defg" * 100)
    assert unpack(tmp_path, data)
    (tmp_path / "again").mkdir()
    with pytest.raises(error):
        unpack(tmp_path / "again", change(data))
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["a.zip"]


def test_a_ratio_is_told_by_the_directory_before_anything_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive(bomb=bytes(3 << 20)))
    with pytest.raises(TooLarge):
        ZipArchive(tmp_path / "a.zip", SMALL)


def test_mutants_unpack_or_are_refused(tmp_path: Path) -> None:
    """Whatever is done to an archive, it comes out as it was or leaves nothing."""
    data = archive(first=b"abc" * 100, folder__other=bytes(range(256)) * 4, last=b"")
    chance = random.Random(3)
    for number in range(600):
        mutant = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        if chance.random() < 0.2:
            del mutant[chance.randrange(len(mutant)) :]
        path = tmp_path / f"{number}.zip"
        path.write_bytes(mutant)
        folder = tmp_path / f"{number}"
        try:
            extract(ZipArchive(path, SMALL), folder)
        except ModelyardError:
            assert not folder.exists()
