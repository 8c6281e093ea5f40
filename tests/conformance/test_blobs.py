from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelyard.adapters.blobs import BlobStore, local_blobs, memory_blobs
from modelyard.core.errors import Invalid, NotFound

SIZES = (0, 1, 1 << 20, (3 << 20) + 1)
Write = Callable[[bytes], Path]


@pytest.fixture(params=["local", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return local_blobs(tmp_path / "blobs") if request.param == "local" else memory_blobs()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(content: bytes) -> Path:
        path = tmp_path / "source"
        path.write_bytes(content)
        return path

    return to_file


@pytest.mark.parametrize("size", SIZES)
def test_what_was_put_comes_back(blobs: BlobStore, write: Write, tmp_path: Path, size: int) -> None:
    content = random.randbytes(size)
    digest = blobs.put(write(content))
    assert digest == hashlib.sha256(content).hexdigest()
    assert blobs.exists(digest)
    assert blobs.get(digest) == content
    assert b"".join(blobs.open(digest, chunk=1 << 16)) == content
    blobs.fetch(digest, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == content


def test_the_same_bytes_are_put_twice(blobs: BlobStore, write: Write) -> None:
    source = write(b"model")
    assert blobs.put(source) == blobs.put(source)
    assert blobs.get(blobs.put(source)) == b"model"


def test_the_same_bytes_are_put_by_many_at_once(blobs: BlobStore, write: Write) -> None:
    source = write(b"model" * 100_000)
    with ThreadPoolExecutor(8) as threads:
        digests = set(threads.map(lambda _: blobs.put(source), range(16)))
    (digest,) = digests
    assert blobs.get(digest) == source.read_bytes()


def test_a_blob_that_is_not_there(blobs: BlobStore, tmp_path: Path) -> None:
    digest = "0" * 64
    assert not blobs.exists(digest)
    with pytest.raises(NotFound):
        blobs.get(digest)
    with pytest.raises(NotFound):
        blobs.open(digest)
    with pytest.raises(NotFound):
        blobs.fetch(digest, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


@pytest.mark.parametrize("name", ["", "../" * 21 + "a", "A" * 64, "0" * 63, "0" * 65])
def test_a_name_that_is_no_digest_is_refused(blobs: BlobStore, name: str) -> None:
    with pytest.raises(Invalid):
        blobs.exists(name)
    with pytest.raises(Invalid):
        blobs.get(name)


def test_a_file_is_never_written_over(blobs: BlobStore, write: Write, tmp_path: Path) -> None:
    digest = blobs.put(write(b"model"))
    target = tmp_path / "precious"
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        blobs.fetch(digest, target)
    assert target.read_bytes() == b"mine"
