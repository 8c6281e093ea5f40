"""Uploads: by their digest, only once, and resumed where they broke off."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from modelyard_client import Client, files
from modelyard_client.errors import ApiError, ClientError, Unreachable
from tests.unit.sdk.scripted_server import Answer, Asked, ScriptedServer

MODEL = Answer(400, {"detail": "enough", "code": "invalid"})


class Receiving:
    """A server that takes at most `most` bytes of a request and then hangs up."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.kept = b""
        self.most = most
        self.whole = False
        self.asked: list[tuple[str, int]] = []

    def __call__(self, asked: Asked) -> Answer:
        if asked.method == "POST":
            return MODEL
        self.asked.append((asked.method, len(asked.body)))
        if asked.method == "HEAD":
            if not self.kept:
                return Answer(404)
            complete = "?1" if self.whole else "?0"
            headers = {"Upload-Offset": str(len(self.kept)), "Upload-Complete": complete}
            return Answer(200, headers=headers)
        offset = int(asked.headers.get("upload-offset", "0"))
        assert offset == (len(self.kept) if asked.method == "PATCH" else 0)
        self.kept = self.kept[:offset] + asked.body[: self.most]
        if len(asked.body) > self.most:
            return Answer(hang_up=True)
        self.whole = asked.path.endswith(hashlib.sha256(self.kept).hexdigest())
        return Answer(201 if self.whole else 400, {"code": "invalid", "detail": "digest"})


def send(client: Client, path: Path) -> None:
    with pytest.raises(ApiError, match="enough"):
        client.models.import_model("m", path)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(files, "_LONGEST_PAUSE", 0.01)


def test_a_file_is_uploaded_by_its_digest(
    server: ScriptedServer, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "d.bin"
    file.write_bytes(b"a1" * 400_000)
    server.script = Receiving()
    send(client, file)
    head, put, post = server.asked
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (head.method, put.method) == ("HEAD", "PUT")
    assert put.path == f"/api/v1/uploads/{digest}"
    assert put.body == file.read_bytes()
    assert post.json() == {"upload": digest, "filename": "d.bin", "description": ""}
    # The server has it now: not a byte is sent again.
    send(client, file)
    assert server.script.asked[2:] == [("HEAD", 0)]


def test_a_broken_upload_goes_on_where_it_broke(
    server: ScriptedServer, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "d.bin"
    file.write_bytes(bytes(range(256)) * 4000)
    server.script = Receiving(most=300_000)
    send(client, file)
    assert server.script.kept == file.read_bytes()
    puts = [size for method, size in server.script.asked if method != "HEAD"]
    assert puts == [1_024_000, 724_000, 424_000, 124_000]


def test_a_folder_is_packed_the_same_each_time(
    server: ScriptedServer, client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "weights").write_bytes(bytes(700_000))
    (folder / "MLmodel").write_bytes(b"flavors:")
    (folder / "link").symlink_to("/etc/passwd")
    server.script = Receiving(most=300_000)
    send(client, folder)
    with zipfile.ZipFile(io.BytesIO(server.script.kept)) as archive:
        assert archive.namelist() == ["MLmodel", "data/weights"]
        assert archive.read("data/weights") == bytes(700_000)
    assert server.asked[-1].json()["filename"] == "model"


@pytest.mark.parametrize("more", [b"", b"12345678"])
def test_a_file_that_changes_meanwhile_is_told(
    server: ScriptedServer, client: Client, tmp_path: Path, more: bytes
) -> None:
    file = tmp_path / "growing.csv"
    file.write_bytes(b"1234")

    def script(asked: Asked) -> Answer:
        file.write_bytes(more)
        return Answer(404)

    server.script = script
    with pytest.raises(ClientError, match=r"growing\.csv was changed while it was being sent"):
        client.datasets.add("d", file)


def test_a_server_that_stays_away_is_an_error(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "d.bin"
    file.write_bytes(b"x")
    with Client("http://127.0.0.1:9", "my_key", timeout=1) as gone, pytest.raises(Unreachable):
        gone.models.import_model("m", file)
    with pytest.raises(ClientError, match="cannot read"):
        client.models.import_model("m", tmp_path / "missing")


@pytest.mark.parametrize("status", [401, 413, 415])
def test_a_refusal_is_final(
    server: ScriptedServer, client: Client, tmp_path: Path, status: int
) -> None:
    file = tmp_path / "d.bin"
    file.write_bytes(b"x")
    server.answers = [Answer(404), Answer(status, {"detail": "no", "code": "too_large"})]
    with pytest.raises(ApiError, match="no"):
        client.models.import_model("m", file)
    assert len(server.asked) == 2
