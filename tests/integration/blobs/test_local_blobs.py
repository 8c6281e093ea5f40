from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from modelyard.adapters.blobs import local_blobs
from modelyard.adapters.blobs.store import CorruptBlob
from modelyard.core.errors import Unavailable


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_blob_is_a_file_named_by_its_digest(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"model")
    digest = local_blobs(tmp_path / "blobs").put(tmp_path / "source")
    assert files(tmp_path / "blobs") == [f"sha256/{digest[:2]}/{digest}"]
    assert (tmp_path / "blobs").stat().st_mode & 0o777 == 0o700


def test_a_large_blob_is_read_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(1 << 20))
    blobs = local_blobs(tmp_path / "blobs")
    digest = blobs.put(tmp_path / "source")
    assert max(len(piece) for piece in blobs.open(digest, chunk=1 << 16)) <= 1 << 17


@pytest.mark.parametrize("damaged", [b"modem", b"mode", b"model!", b""])
def test_a_damaged_blob_is_noticed(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "source").write_bytes(b"model")
    blobs = local_blobs(tmp_path / "blobs")
    digest = blobs.put(tmp_path / "source")
    (tmp_path / "blobs" / "sha256" / digest[:2] / digest).write_bytes(damaged)
    with pytest.raises(CorruptBlob, match=digest) as caught:
        blobs.get(digest)
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(CorruptBlob):
        blobs.fetch(digest, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_bytes_and_every_folder_are_synced_before_put_returns(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"model")
    blobs = local_blobs(tmp_path / "blobs")
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        synced.append(str(path.relative_to(tmp_path)))
        real(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        digest = blobs.put(tmp_path / "source")
    assert synced[0].startswith("blobs/incoming/")
    assert synced[1:] == [f"blobs/sha256/{digest[:2]}", "blobs/sha256", "blobs"]


def test_a_source_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    blobs = local_blobs(tmp_path / "blobs")
    with pytest.raises(FileNotFoundError):
        blobs.put(tmp_path / "source")
    with pytest.raises(IsADirectoryError):
        blobs.put(tmp_path)
    assert files(tmp_path / "blobs") == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on file sizes")
def test_a_full_disk_is_an_error_without_a_path(tmp_path: Path) -> None:
    import resource

    (tmp_path / "source").write_bytes(bytes(1 << 20))
    blobs = local_blobs(tmp_path / "blobs")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(Unavailable) as caught:
            blobs.put(tmp_path / "source")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path) not in str(caught.value)
    assert files(tmp_path / "blobs") == []


def test_what_was_abandoned_long_ago_is_removed(tmp_path: Path) -> None:
    incoming = tmp_path / "blobs" / "incoming"
    incoming.mkdir(parents=True)
    for name, age in (("old", 25 * 3600), ("new", 3600)):
        (incoming / name).write_bytes(b"half")
        then = time.time() - age
        os.utime(incoming / name, (then, then))
    local_blobs(tmp_path / "blobs")
    assert files(incoming) == ["new"]
