"""CoNLL files: texts whose tokens have tags."""

from pathlib import Path

import pytest

from modelyard.core.errors import Invalid, TooLarge
from modelyard.training.conll import MAX_TOKENS
from modelyard.training.dataset import FileFormat
from modelyard.training.source import Source
from modelyard.training.table import Table, detect, read

SHARED_TASK = b"""-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC
call NN I-NP O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""
TABS = "# id 7\nZo\u00eb\tB-PER\r\nin\tO\r\nSt.\tB-LOC\r\n\r\n\r\n# id 8\r\n#\tO\r\n# 1\tO".encode()


def table(folder: Path, data: bytes, name: str = "train.txt") -> Table:
    path = folder / "data"
    path.write_bytes(data)
    return read(path, name, folder)


def test_texts_become_rows(tmp_path: Path) -> None:
    read = table(tmp_path, SHARED_TASK)
    assert read.format is FileFormat.CONLL
    assert read.frame.to_dict(as_series=False) == {
        "tokens": ["EU rejects German call", "Peter Blackburn"],
        "tags": ["B-ORG O B-MISC O", "B-PER I-PER"],
    }
    assert "last of 4 fields" in read.warnings[0]


def test_tabs_remarks_and_missing_line_ends(tmp_path: Path) -> None:
    read = table(tmp_path, b"\xef\xbb\xbf" + TABS.replace(b"# 1", b"#1"))
    assert read.frame.rows() == [("Zo\u00eb in St.", "B-PER O B-LOC"), ("# #1", "O O")]
    assert read.warnings == ()


@pytest.mark.parametrize(
    "data",
    [
        b"word tag\nEU B-ORG\n",
        b"EU,B-ORG\nrejects,O\n",
        b"a\tb\nO\tX\n",
        b"# only a remark\n",
    ],
    ids=["a heading", "commas", "other words", "nothing else"],
)
def test_what_has_other_lines_is_a_table_with_a_heading(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "data"
    path.write_bytes(data)
    assert detect(Source.called(path, "train.conll")) is FileFormat.CSV


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"EU B-ORG", "line 70002 has 2 fields, and the first has 4"),
        (b"New York\tNNP\tX\tB-LOC", "line 70002: token and tag are one word each"),
        (b"\tNNP\tX\tO", "line 70002: token and tag are one word each"),
        (b"caf\xe9 NN X O", "line 70002 is not UTF-8"),
    ],
)
def test_a_bad_line_far_down_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    data = b"EU NNP B-NP B-ORG\n\n" * 35_000 + b"\n" + line + b"\n"
    with pytest.raises(Invalid, match=rf"^train\.txt: {message}"):
        table(tmp_path, data)


def test_a_text_without_an_end_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="an empty line parts two texts"):
        table(tmp_path, b"EU B-ORG\n" * (MAX_TOKENS + 1))
