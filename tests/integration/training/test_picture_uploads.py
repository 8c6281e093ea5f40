"""Archives of pictures through the real task: what is wrong is told by name, and nothing stays."""

from collections.abc import Iterator, Mapping

import pytest

from modelyard.core.errors import Invalid, ModelyardError, NotFound, TooLarge, UnsupportedFormat
from modelyard.training.dataset import ColumnType, FileFormat
from tests.integration.training.room import OURS, Room
from tests.picture_sets import archive, stripes


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    made = Room(tmp_path_factory.mktemp("room"))
    yield made
    made.store.close()


def test_an_archive_becomes_a_version_like_any_table(room: Room) -> None:
    files = {**stripes(30), "lying/broken.png": b"not a picture"}
    version = room.datasets.add(OURS, "stripes", room.upload(archive(files)), "stripes.zip")
    found = version.inspection
    assert (found.format, found.rows) == (FileFormat.IMAGES, 30)
    assert found.columns[0].type is ColumnType.IMAGE
    assert found.warnings[0].startswith("left out 1 of 31 pictures that cannot be read: ")
    again = room.datasets.add(OURS, "stripes", room.upload(archive(files)), "stripes.zip")
    assert again == version


@pytest.mark.parametrize(
    ("files", "kind", "said"),
    [
        ({"a/../../up.png": b"x"}, Invalid, "its entry 'a/../../up.png' has the part '..'"),
        ({"a/bomb.png": bytes(40 << 20)}, TooLarge, "entry 'a/bomb.png' unpacks to over 200 times"),
        ({"a/1.png": b"no picture"}, Invalid, "1 of 1 pictures cannot be read: 'a/1.png': "),
        ({"notes.txt": b"nothing"}, UnsupportedFormat, "the archive holds no pictures"),
    ],
)
def test_what_is_refused_is_told_by_name(
    room: Room, files: Mapping[str, bytes], kind: type[ModelyardError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        room.datasets.add(OURS, "refused", room.upload(archive(files)), "set.zip")
    assert caught.value.message.startswith("set.zip: ")
    assert said in caught.value.message
    with pytest.raises(NotFound):
        room.datasets.get(OURS, "refused")
    assert list((room.home / "scratch").iterdir()) == []
