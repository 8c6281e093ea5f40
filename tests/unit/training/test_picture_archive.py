"""Archives of pictures: what is taken, and what is said of what is not."""

import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from modelyard.core.errors import Invalid, ModelyardError, TooLarge, UnsupportedFormat
from modelyard.training.dataset import ColumnType, FileFormat
from modelyard.training.inspection import describe, preview
from modelyard.training.table import Table, read
from tests.picture_sets import archive, png, stripes

RED = png(np.full((6, 8, 3), (200, 20, 20)))
GREY = png(np.full((6, 8), 90))
BLUE = png(np.full((10, 12, 3), (20, 20, 200)))

Reader = Callable[[Mapping[str, bytes] | bytes], Table]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    def reading(content: Mapping[str, bytes] | bytes) -> Table:
        with tempfile.TemporaryDirectory(dir=tmp_path) as scratch:
            path = Path(scratch) / "upload"
            path.write_bytes(content if isinstance(content, bytes) else archive(content))
            return read(path, "pets.zip", Path(scratch))

    return reading


def refused(
    reader: Reader, content: Mapping[str, bytes] | bytes, kind: type[ModelyardError]
) -> str:
    with pytest.raises(kind) as caught:
        reader(content)
    assert caught.value.message.startswith("pets.zip: ")
    return caught.value.message.removeprefix("pets.zip: ")


def test_a_folder_is_a_class(reader: Reader) -> None:
    table = reader({"set/red/a.png": RED, "set/blue/b.png": BLUE, "set/blue/c.PNG": BLUE})
    assert table.format is FileFormat.IMAGES
    assert table.frame.to_dict(as_series=False) == {
        "image": [RED, BLUE, BLUE],
        "file": ["set/red/a.png", "set/blue/b.png", "set/blue/c.PNG"],
        "label": ["red", "blue", "blue"],
    }
    assert table.warnings == ()


def test_its_columns_say_what_the_pictures_are_like(reader: Reader) -> None:
    frame = reader({"red/a.png": RED, "red/b.png": RED, "blue/b.png": BLUE}).frame
    image, file, label = describe(frame)
    assert image.type is ColumnType.IMAGE
    assert image.picture is not None
    assert (image.picture.width, image.picture.height, image.picture.channels) == (8, 6, 3)
    assert (file.type, label.distinct) == (ColumnType.STRING, 2)
    assert preview(frame)[0]["image"] == f"8 x 6 pixels, {len(RED)} bytes"


def test_pictures_without_colour_have_one_channel(reader: Reader) -> None:
    picture = describe(reader({"a/1.png": GREY, "b/2.png": GREY}).frame)[0].picture
    assert picture is not None
    assert picture.channels == 1


@pytest.mark.parametrize("column", ["file", "image", "path"])
@pytest.mark.parametrize("named", ["pictures/{}", "{}"])
def test_a_table_may_name_the_files(reader: Reader, column: str, named: str) -> None:
    rows = [(named.format("a.png"), "red", 3), (named.format("b.png"), "blue", 4)]
    lines = [f"{column},kind,age", *(",".join(map(str, row)) for row in rows)]
    table = reader(
        {
            "set/pictures/a.png": RED,
            "set/pictures/b.png": BLUE,
            "set/labels.csv": "\n".join(lines).encode(),
        }
    )
    found = table.frame.to_dict(as_series=False)
    assert list(found) == ["image", "file" if column == "image" else column, "kind", "age"]
    assert found["image"] == [RED, BLUE]
    assert found["kind"] == ["red", "blue"]
    assert found["age"] == [3, 4]


def test_a_table_in_json_lines_and_twins_in_two_folders(reader: Reader) -> None:
    lines = b'{"path": "x/1.png", "kind": "red"}\n{"path": "y/1.png", "kind": "blue"}\n'
    files = {"x/1.png": RED, "y/1.png": BLUE, "index.jsonl": lines}
    assert reader(files).frame.get_column("image").to_list() == [RED, BLUE]
    # Their last parts alone would not tell which is meant.
    short = lines.replace(b"x/", b"").replace(b"y/", b"")
    said = refused(reader, {**files, "index.jsonl": short}, Invalid)
    assert said == "index.jsonl: no column names files that are in the archive"


def test_a_table_that_names_what_is_not_there_is_told_by_row(reader: Reader) -> None:
    table = b"file,kind\na.png,red\nmissing.png,blue\n"
    said = refused(reader, {"a.png": RED, "labels.csv": table}, Invalid)
    assert said == ("labels.csv: row 2 of column 'file' names 'missing.png', which is not there")


def test_two_tables_are_one_too_many(reader: Reader) -> None:
    table = b"file,kind\na.png,red\n"
    said = refused(reader, {"a.png": RED, "x.csv": table, "y.csv": table}, Invalid)
    assert said == "there are two tables, 'x.csv' and 'y.csv'; one is read"


def test_an_unreadable_picture_is_left_out_and_named(reader: Reader) -> None:
    files = {**stripes(30), "lying/broken.png": RED[:50], "lying/none.jpg": b"not a picture"}
    table = reader(files)
    assert table.frame.height == 30
    (warning,) = table.warnings
    assert warning.startswith("left out 2 of 32 pictures that cannot be read: 'lying/broken.png': ")
    assert "'lying/none.jpg': no picture: JPEG, PNG, WebP, GIF and BMP are taken" in warning


def test_a_table_row_of_an_unreadable_picture_is_left_out(reader: Reader) -> None:
    files = {name.split("/")[1]: data for name, data in stripes(30).items()}
    files["000.png"] = b"not a picture"
    lines = "".join(f"{name},{at % 2}\n" for at, name in enumerate(files))
    table = reader({**files, "labels.csv": f"file,kind\n{lines}".encode()})
    assert table.frame.get_column("file").to_list() == list(files)[1:]


def test_too_many_unreadable_pictures_are_refused(reader: Reader) -> None:
    files = {**stripes(10), **{f"lying/{at}.png": b"" for at in range(7)}}
    said = refused(reader, files, Invalid)
    assert said.startswith("7 of 17 pictures cannot be read: 'lying/0.png': no picture: ")
    assert said.endswith("; and 2 more")


def test_a_picture_of_too_many_pixels_is_named(reader: Reader) -> None:
    head = struct.pack(">2I5B", 100_000, 100_000, 8, 0, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + head, b"IDAT" + zlib.compress(bytes(1000)), b"IEND"):
        size, checksum = len(chunk) - 4, zlib.crc32(chunk)
        huge += struct.pack(">I", size) + chunk + struct.pack(">I", checksum)
    table = reader({**stripes(20), "lying/huge.png": huge})
    assert table.warnings[0].startswith("left out 1 of 21 pictures that cannot be read: ")
    assert "'lying/huge.png': the picture has " in table.warnings[0]


def test_a_folder_without_pictures_is_no_class(reader: Reader) -> None:
    table = reader({**stripes(20), "nothing/": b"", "set/": b"", "nothing/notes.md": b"x"})
    assert table.warnings == (
        "passed over 1 files that are no pictures: 'nothing/notes.md'",
        "folder 'nothing' holds no picture that can be read: there is no such class",
        "folder 'set' holds no picture that can be read: there is no such class",
    )


def test_what_file_managers_leave_is_passed_over(reader: Reader) -> None:
    left = {"__MACOSX/lying/._000.png": b"x", "lying/.DS_Store": b"x", "lying/Thumbs.db": b"x"}
    assert reader({**stripes(4), **left}).warnings == ()


def test_a_picture_without_a_class_is_named(reader: Reader) -> None:
    said = refused(reader, {"a/1.png": RED, "top.png": RED}, Invalid)
    assert said.startswith("picture 'top.png' lies in no folder: ")


def test_an_archive_without_pictures_is_told_what_one_is(reader: Reader) -> None:
    for files in ({"notes.txt": b"hello"}, {"table.csv": b"a,b\n1,2\n"}, {}):
        said = refused(reader, files, UnsupportedFormat)
        assert said.startswith("the archive holds no pictures (.jpg, .png, .webp, .gif, .bmp)")
    workbook = {"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}
    said = refused(reader, workbook, UnsupportedFormat)
    assert said == "this is an Excel workbook: save the sheet as CSV"


@pytest.mark.parametrize("name", ["../up.png", "/root.png", "a/../../b.png", "C:/x.png"])
def test_a_traversal_is_refused_by_name(reader: Reader, name: str) -> None:
    said = refused(reader, {"a/1.png": RED, name: RED}, Invalid)
    assert said.startswith(f"the archive is refused: its entry '{name}' ")


def test_a_bomb_is_refused_by_name(reader: Reader) -> None:
    said = refused(reader, {"a/1.png": RED, "a/bomb.png": bytes(40 << 20)}, TooLarge)
    assert said.startswith(
        "the archive's entry 'a/bomb.png' unpacks to over 200 times its size, as only bombs do"
    )


def test_a_damaged_archive_is_refused(reader: Reader) -> None:
    whole = archive(stripes(4))
    assert "is cut off" in refused(reader, whole[:-30], Invalid)
    at = whole.index(b"IDAT") + 8
    changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    said = refused(reader, changed, Invalid)
    assert said == "the ZIP archive is damaged: 'lying/000.png' has another checksum"
