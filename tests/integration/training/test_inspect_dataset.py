"""The inspection task: a file in, its description and the same rows as Parquet out."""

from pathlib import Path

import msgspec
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.tasks import RESULT_FILE, SPEC_FILE
from modelyard.training.dataset import ColumnType, FileFormat, Inspection
from modelyard.training.tasks import TABLE_FILE, inspect_dataset
from tests.integration.training.tables import bundled


def inspected(folder: Path, data: bytes, filename: str) -> Inspection:
    (folder / "data").write_bytes(data)
    spec = {"file": "data", "filename": filename}
    (folder / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
    inspect_dataset(folder, lambda line: None)
    return msgspec.json.decode((folder / RESULT_FILE).read_bytes(), type=Inspection)


def encoded(frame: pl.DataFrame, form: FileFormat, folder: Path) -> bytes:
    path = folder / "original"
    if form is FileFormat.CSV:
        frame.write_csv(path)
    elif form is FileFormat.PARQUET:
        frame.write_parquet(path)
    else:
        frame.write_ndjson(path)
    return path.read_bytes()


@pytest.mark.parametrize("form", [FileFormat.CSV, FileFormat.PARQUET, FileFormat.JSONL])
def test_the_same_rows_come_out_of_every_format(tmp_path: Path, form: FileFormat) -> None:
    iris = bundled("iris")
    inspection = inspected(tmp_path, encoded(iris, form, tmp_path), "iris.data")
    assert inspection.format is form
    assert inspection.rows == 150
    assert [column.name for column in inspection.columns] == iris.columns
    assert [column.type for column in inspection.columns] == [ColumnType.NUMBER] * 4 + [
        ColumnType.STRING
    ]
    assert inspection.columns[0].minimum == 4.3
    assert inspection.columns[4].distinct == 3
    assert len(inspection.preview) == 10
    assert pl.read_parquet(tmp_path / TABLE_FILE).equals(iris)


def test_a_bad_file_leaves_no_result(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"^iris\.csv: row 3 has 1 field, the header has 2$"):
        inspected(tmp_path, b"a,b\n1,2\n3\n", "iris.csv")
    assert not (tmp_path / RESULT_FILE).exists()


def test_a_file_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    spec = {"file": "../data", "filename": "data.csv"}
    (tmp_path / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
    with pytest.raises(Invalid, match=r"the task's specification is not valid: .*\$\.file"):
        inspect_dataset(tmp_path, lambda line: None)
