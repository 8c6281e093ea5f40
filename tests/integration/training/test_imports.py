"""Imports through the service, the tasks and the sandbox, with models of real libraries."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.core.errors import (
    Conflict,
    Invalid,
    ModelyardError,
    NotFound,
    StorageFull,
    TooLarge,
    UnsupportedFormat,
)
from modelyard.core.pages import PageRequest
from modelyard.core.sandboxing import Capabilities
from modelyard.core.trust import Trust
from modelyard.deployment.service import target_of
from modelyard.registry.artifact import Format
from modelyard.registry.model import Reference
from modelyard.registry.version import ModelVersion, VersionState
from modelyard.training.importing import ImportOrder
from tests.integration.training import model_files as files
from tests.integration.training.room import OURS, THEIRS, Room


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    room = Room(tmp_path_factory.mktemp("home"))
    yield room
    room.store.close()


@pytest.fixture(autouse=True)
def _nothing_is_left(room: Room) -> Iterator[None]:
    yield
    folder = room.home / "scratch"
    assert not folder.exists() or list(folder.iterdir()) == []


def imported(room: Room, data: bytes, name: str = "model", **more: str) -> ModelVersion:
    return room.imports.import_model(OURS, "model", ImportOrder(room.upload(data), name, **more))


def tried_on_made_up_rows(version: ModelVersion) -> bool:
    return any("made-up rows" in warning for warning in version.card.warnings)


def refused(room: Room, data: bytes, name: str = "model") -> ModelyardError:
    """No version is made of it."""
    with pytest.raises(ModelyardError) as caught:
        room.imports.import_model(OURS, "refused", ImportOrder(room.upload(data), name))
    with pytest.raises(NotFound):
        room.registry.model(OURS, "refused")
    return caught.value


def test_an_onnx_file_becomes_a_version(room: Room) -> None:
    data = files.onnx_model()
    version = imported(room, data, "relu.onnx", description="a test")
    assert (version.state, version.lineage.source) == (VersionState.READY, "import")
    assert version.card.description == "a test"
    assert version.signature is not None
    assert [spec.name for spec in version.signature.inputs] == ["x"]
    [artifact] = version.served
    assert (artifact.size, artifact.format) == (len(data), Format.ONNX)
    assert version.trust is Trust.INLINE
    assert version.profile is not None
    assert version.profile.stackable
    assert version.lineage.parameters["file"] == "relu.onnx"


@pytest.mark.parametrize(
    ("make", "format_"),
    [
        (lambda: files.joblib_model(("xz", 3)), Format.JOBLIB),
        (files.skops_model, Format.SKOPS),
        (lambda: files.xgboost_model("ubj"), Format.XGBOOST),
        (files.lightgbm_model, Format.LIGHTGBM),
    ],
    ids=["joblib.xz", "skops", "xgboost", "lightgbm"],
)
def test_a_librarys_file_is_converted_and_served_as_onnx(
    room: Room, make: Callable[[], bytes], format_: Format
) -> None:
    data = make()
    version = imported(room, data)
    assert (version.state, version.reason) == (VersionState.READY, "")
    assert [one.format for one in version.artifacts] == [Format.ONNX, format_]
    assert version.parity is not None
    assert version.parity.agreed
    assert version.parity.rows > 1
    assert version.trust is Trust.INLINE
    assert room.blobs.get(version.artifacts[1].digest) == data
    assert room.blobs.get(version.artifacts[0].digest).startswith(b"\x08")
    assert target_of(version).number == version.number


@pytest.mark.parametrize(
    ("pack", "origin"),
    [
        (lambda data: files.zipped({"README.md": b"# hi", "m/weights": data}), "archive"),
        (lambda data: files.tarred({"./top/model.bin": data, "./top/notes": b"text"}), "archive"),
        (
            lambda data: files.zipped(
                {
                    "m/MLmodel": b"flavors:\n  xgboost:\n    data: model.xgb\n",
                    "m/model.xgb": data,
                    "m/conda.yaml": b"name: env\n",
                    "m/input_example.json": json.dumps(files.ROWS[:9].tolist()).encode(),
                }
            ),
            "mlflow",
        ),
    ],
    ids=["zip", "tar.gz", "mlflow"],
)
def test_an_archive_of_a_folder(room: Room, pack: Callable[[bytes], bytes], origin: str) -> None:
    data = files.xgboost_model()
    version = imported(room, pack(data), "bundle")
    assert version.lineage.parameters["origin"] == origin
    assert [one.format for one in version.artifacts] == [Format.ONNX, Format.XGBOOST]
    assert room.blobs.get(version.artifacts[1].digest) == data
    assert version.parity is not None
    assert tried_on_made_up_rows(version) == (origin != "mlflow")


def test_a_sample_is_what_the_forms_are_compared_on(room: Room) -> None:
    sample = room.upload(json.dumps(files.ROWS[:7].tolist()).encode())
    version = imported(room, files.lightgbm_model(), sample=sample)
    assert version.parity is not None
    assert version.parity.agreed
    assert version.parity.rows >= 7
    assert not tried_on_made_up_rows(version)
    with pytest.raises(NotFound):
        imported(room, files.onnx_model(), sample="0" * 64)
    theirs = room.upload(b"[[1, 2]]", THEIRS)
    with pytest.raises(NotFound):
        imported(room, files.onnx_model(), sample=theirs)


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _changed(data: bytes) -> bytes:
    """A third of the file is noise."""
    third = len(data) // 3
    return data[:third] + random.Random(1).randbytes(third) + data[2 * third :]


@pytest.mark.parametrize(
    "make",
    [
        lambda: _cut(files.onnx_model()),
        lambda: _changed(files.onnx_model()),
        lambda: _cut(files.pickle_model()),
        lambda: _changed(files.joblib_model()),
        lambda: _cut(files.joblib_model(("gzip", 3))),
        lambda: _cut(files.skops_model()),
        lambda: _changed(files.skops_model()),
        lambda: _cut(files.xgboost_model()),
        lambda: _changed(files.xgboost_model("ubj")),
        lambda: _cut(files.lightgbm_model()),
        lambda: _changed(files.lightgbm_model()),
        lambda: _cut(files.zipped({"model": files.onnx_model(), "more": bytes(range(256)) * 20})),
        lambda: _changed(files.tarred({"model": files.xgboost_model()})),
    ],
    ids=["onnx-cut", "onnx-changed", "pickle-cut", "joblib-changed", "gzip-cut", "skops-cut",
         "skops-changed", "json-cut", "ubj-changed", "lightgbm-cut", "lightgbm-changed", "zip-cut",
         "tgz-changed"],
)  # fmt: skip
def test_a_spoiled_file_becomes_a_version_that_has_failed(
    room: Room, make: Callable[[], bytes]
) -> None:
    before = imported_number(room)
    version = imported(room, make(), "model.bin")
    assert version.state is VersionState.FAILED
    assert version.reason
    assert len(version.reason) < 1000
    assert str(room.home) not in version.reason
    assert "Traceback" not in version.reason
    assert (version.artifacts, version.signature, version.served) == ((), None, ())
    assert imported_number(room) == before
    with pytest.raises(Conflict, match=r"cannot be served: .*model.bin"):
        target_of(version)
    with pytest.raises(Conflict, match="has failed"):
        room.registry.set_alias(OURS, "model", "champion", version.number)


def imported_number(room: Room) -> int:
    """The newest version that is ready, 0 if there is none."""
    try:
        return room.registry.model(OURS, "model").latest
    except NotFound:
        return 0


def test_the_newest_version_is_the_newest_that_is_ready(room: Room) -> None:
    order = ImportOrder(room.upload(files.onnx_model()), "m.onnx")
    broken = ImportOrder(room.upload(_cut(files.onnx_model())), "m.onnx")
    room.imports.import_model(OURS, "newest", broken)
    with pytest.raises(NotFound, match="no version that is ready"):
        room.registry.version(OURS, Reference("newest"))
    assert room.imports.import_model(OURS, "newest", order).number == 2
    assert room.imports.import_model(OURS, "newest", broken).number == 3
    assert room.registry.version(OURS, Reference("newest")).number == 2
    listed = room.registry.versions(OURS, "newest", PageRequest()).items
    assert [(one.number, one.state.value) for one in listed] == [
        (3, "failed"),
        (2, "ready"),
        (1, "failed"),
    ]


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (b"age,plan\n1,2\n", UnsupportedFormat, "this file is text"),
        (files.zipped({"../../evil.pkl": b"x"}), Invalid, "has the part '..'"),
        (files.zipped({"bomb": bytes(64 << 20)}), TooLarge, "times its size"),
        (files.zipped({"a": files.onnx_model(), "b": files.onnx_model()}), Invalid, "2 models"),
        (files.zipped({"a.txt": b"text"}), UnsupportedFormat, "this file is text"),
    ],
    ids=["text", "traversal", "bomb", "two", "none"],
)
def test_what_is_no_model_becomes_no_version(
    room: Room, data: bytes, error: type[ModelyardError], said: str
) -> None:
    caught = refused(room, data, "x.onnx")
    assert isinstance(caught, error)
    assert caught.message.startswith("x.onnx: ")
    assert said in caught.message


def test_code_is_not_admitted_without_a_sandbox(tmp_path: Path) -> None:
    room = Room(tmp_path, capabilities=Capabilities(missing=("Landlock is off",)))
    caught = refused(room, files.pickle_model(), "model.pkl")
    assert isinstance(caught, UnsupportedFormat)
    assert "has no sandbox for it: Landlock is off" in caught.message
    room.store.close()


def test_a_full_disk_is_the_servers_trouble(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(digest: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    upload = room.upload(files.onnx_model())
    with monkeypatch.context() as patched:
        patched.setattr(room.blobs, "fetch", full)
        with pytest.raises(StorageFull):
            room.imports.import_model(OURS, "full", ImportOrder(upload, "m.onnx"))
    with pytest.raises(NotFound):
        room.registry.model(OURS, "full")
    assert room.imports.import_model(OURS, "full", ImportOrder(upload, "m.onnx")).number == 1
