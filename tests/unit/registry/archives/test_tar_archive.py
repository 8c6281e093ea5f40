"""Tar archives as honest tools write them, and as nobody should."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.core.errors import ModelyardError
from modelyard.registry.archives import Archive, ArchiveLimits, extract
from modelyard.registry.detection import find_format

SMALL = ArchiveLimits(total_bytes=4 << 20, entries=20, free_bytes=1 << 16, depth=4, name_bytes=120)
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def archive(*entries: tarfile.TarInfo | tuple[str, bytes], mode: str = "w:", kind: str = "pax",
            headers: dict[str, str] | None = None) -> bytes:  # fmt: skip
    buffer = io.BytesIO()
    written: tarfile.TarFile
    with tarfile.open(  # type: ignore[call-overload]
        fileobj=buffer, mode=mode, format=FORMATS[kind], pax_headers=headers or {}
    ) as written:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                written.addfile(entry, io.BytesIO(bytes(entry.size)))
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                written.addfile(info, io.BytesIO(entry[1]))
    return buffer.getvalue()


def special(kind: bytes, name: str = "x", target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def unpack(tmp_path: Path, data: bytes) -> dict[str, bytes]:
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    found = find_format(path, SMALL)
    assert not isinstance(found, str)
    return contents(found, tmp_path / "out")


def contents(found: Archive, folder: Path) -> dict[str, bytes]:
    return {member.name: (folder / member.name).read_bytes() for member in extract(found, folder)}


def refused(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(ModelyardError) as caught:
        unpack(tmp_path, data)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    return f"{type(caught.value).__name__}: {caught.value.message}"


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("kind", FORMATS)
def test_what_was_packed_comes_out(tmp_path: Path, mode: str, kind: str) -> None:
    noise = random.Random(1).randbytes(700_000)
    long = "folder/" + "n" * 90 + ".bin"
    out = unpack(
        tmp_path,
        archive(
            special(tarfile.DIRTYPE, "folder"),
            ("folder/noise", noise),
            ("./a", b"hello"),
            (long, b"long"),
            ("empty", b""),
            mode=mode,
            kind=kind,
        ),
    )
    assert out == {"folder/noise": noise, "a": b"hello", long: b"long", "empty": b""}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (special(tarfile.SYMTYPE, target="/etc/passwd"), "is a link"),
        (special(tarfile.LNKTYPE, target="../x"), "is a hard link"),
        (special(tarfile.CHRTYPE), "is a device"),
        (special(tarfile.BLKTYPE), "is a device"),
        (special(tarfile.FIFOTYPE), "is a pipe"),
        (special(tarfile.GNUTYPE_SPARSE), "is a sparse file"),
        (special(b"V"), "is of an unknown kind"),
        (("../up", b"x"), "has the part '..'"),
        (("/etc/cron.d/x", b"x"), "is absolute"),
        (("a/b/c/d/e", b"x"), "folders deep"),
        (("aux", b"x"), "the name of a device"),
    ],
)
@pytest.mark.parametrize("mode", ["w:", "w:gz"])
def test_what_is_no_plain_file_is_refused(
    tmp_path: Path, entry: tarfile.TarInfo | tuple[str, bytes], reason: str, mode: str
) -> None:
    assert reason in refused(tmp_path, archive(("good", b"g" * 2000), entry, mode=mode))


def test_headers_that_change_others_are_refused(tmp_path: Path) -> None:
    assert "renames all" in refused(tmp_path, archive(("a", b"x"), headers={"path": "../../x"}))
    sparse = tarfile.TarInfo("s")
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": "9999999999"}
    assert "is a sparse file" in refused(tmp_path, archive(sparse))
    sneaky = tarfile.TarInfo("fine")
    sneaky.pax_headers = {"path": "/etc/passwd"}
    assert "is absolute" in refused(tmp_path, archive(sneaky))
    endless = tarfile.TarInfo("c")
    endless.pax_headers = {"comment": "x" * 100_000}
    assert refused(tmp_path, archive(endless)).startswith("TooLarge")


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_bombs_are_refused(tmp_path: Path, mode: str) -> None:
    assert refused(tmp_path, archive(("bomb", bytes(3 << 20)), mode=mode)).startswith("TooLarge")


def test_too_much_is_refused(tmp_path: Path) -> None:
    assert "over 20 entries" in refused(tmp_path, archive(*((f"n{at}", b"") for at in range(21))))
    claims = bytearray(archive(("a", b"x")))
    claims[124:136] = b"\x80" + (1 << 60).to_bytes(11, "big")
    claims[148:156] = b"        "
    claims[148:156] = b"%06o\x00 " % sum(claims[:512])
    assert refused(tmp_path, bytes(claims)).startswith("TooLarge")
    twice = archive(("a", b"x"), ("a", b"y"))
    assert "is there twice" in refused(tmp_path, twice)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:1024],
        lambda data: data[:700],
        lambda data: data[:512] + b"\xff" * 300 + data[812:],
        lambda data: data + b"trailer",
    ],
)
@pytest.mark.parametrize("mode", ["w:", "w:gz"])
def test_what_is_cut_off_or_changed_is_refused(
    tmp_path: Path, change: Callable[[bytes], bytes], mode: str
) -> None:
    noise = random.Random(4).randbytes(3000)
    data = archive(("a", b"a" * 400), ("noise", noise), mode=mode)
    if mode == "w:" and change(data)[812:] == data[812:]:
        # A tar keeps no checksum of its files' bytes: the upload's digest is what guards them.
        return
    assert refused(tmp_path, change(data))


def test_mutants_unpack_or_are_refused(tmp_path: Path) -> None:
    data = archive(("a", b"a" * 400), ("folder/b", bytes(range(256)) * 3))
    chance = random.Random(5)
    for number in range(400):
        mutant = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            mutant[chance.randrange(2048)] = chance.randrange(256)
        path = tmp_path / f"{number}.tar"
        path.write_bytes(mutant)
        folder = tmp_path / f"{number}"
        try:
            found = find_format(path, SMALL)
            if not isinstance(found, str):
                extract(found, folder)
        except ModelyardError:
            assert not folder.exists()
