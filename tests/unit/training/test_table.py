"""Files of every format, good and bad, as the reader sees them."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.errors import Invalid, ModelyardError, TooLarge, UnsupportedFormat
from modelyard.training.dataset import FileFormat
from modelyard.training.inspection import preview
from modelyard.training.source import Source, check_size
from modelyard.training.table import Table, read


class Reader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, data: bytes, filename: str = "data.csv") -> Table:
        path = self._folder / "data"
        path.write_bytes(data)
        return read(path, filename, self._folder)

    def columns(self, data: bytes) -> dict[str, list[Any]]:
        return self(data).frame.to_dict(as_series=False)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


class TestDelimited:
    def test_a_header_with_a_fraction_in_it_is_doubted(self, reader: Reader) -> None:
        (doubt,) = reader(b"5.1,3.5,setosa\n4.9,3.0,setosa\n").warnings
        assert "'5.1' is a number: if the file has no header, add one" in doubt
        assert reader(b"784,nan,v1.5\n1,2,3\n").warnings == ()

    def test_types_are_those_that_every_value_has(self, reader: Reader) -> None:
        table = reader(
            b"whole,number,truth,word,time,code,mixed\n"
            b"1,2.5,true,x,2020-01-02,007,1\n"
            b"-3,1e3,FALSE,y z,2021-12-31,010,abc\n"
        )
        assert table.format is FileFormat.CSV
        assert table.frame.to_dict(as_series=False) == {
            "whole": [1, -3],
            "number": [2.5, 1000.0],
            "truth": [True, False],
            "word": ["x", "y z"],
            "time": [datetime(2020, 1, 2), datetime(2021, 12, 31)],  # noqa: DTZ001 - all are UTC
            "code": ["007", "010"],
            "mixed": ["1", "abc"],
        }

    def test_one_word_after_ten_thousand_numbers_makes_a_column_of_strings(
        self, reader: Reader
    ) -> None:
        frame = reader(b"a\n" + b"1\n" * 10_000 + b"abc\n").frame
        assert frame.schema == {"a": pl.String}
        assert frame.height == 10_001

    def test_missing_values_are_null_in_every_type(self, reader: Reader) -> None:
        assert reader.columns(b"n,s,t\n1,x,NaN\nNA,,true\n , null ,\n") == {
            "n": [1, None, None],
            "s": ["x", None, None],
            "t": [None, True, None],
        }

    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_separator_line_end_and_byte_order_mark_are_found(
        self, reader: Reader, separator: str, end: str, mark: str
    ) -> None:
        text = mark + end.join(["a,b", "1,x", "2,y", ""]).replace(",", separator)
        assert reader.columns(text.encode()) == {"a": [1, 2], "b": ["x", "y"]}

    def test_decimal_commas_between_semicolons(self, reader: Reader) -> None:
        assert reader.columns(b"a;b\n1,5;007\n2;008\n") == {
            "a": [1.5, 2.0],
            "b": ["007", "008"],
        }

    def test_quotes_line_breaks_and_empty_lines(self, reader: Reader) -> None:
        data = b'a,"b, c"\n\n"one ""two""\nthree",1\n5" pipe,2\n\n'
        assert reader.columns(data) == {
            "a": ['one "two"\nthree', '5" pipe'],
            "b, c": [1, 2],
        }

    def test_times_with_a_zone_are_utc(self, reader: Reader) -> None:
        times = reader.columns(b"t\n2020-01-02T03:04:05Z\n2020-01-02T03:04:05+01:00\n")["t"]
        assert [time.replace(tzinfo=UTC).isoformat() for time in times] == [
            "2020-01-02T03:04:05+00:00",
            "2020-01-02T02:04:05+00:00",
        ]

    def test_a_date_whose_day_and_month_cannot_be_told_apart_stays_a_string(
        self, reader: Reader
    ) -> None:
        assert reader.columns(b"t\n01/02/2020\n") == {"t": ["01/02/2020"]}
        assert reader(b"t\n01/02/2020\n31/01/2020\n").frame.schema == {"t": pl.Datetime("us")}

    def test_identifiers_beyond_64_bits_stay_apart(self, reader: Reader) -> None:
        columns = reader.columns(b"id\n99999999999999999999\n99999999999999999998\n")
        assert columns["id"] == ["99999999999999999999", "99999999999999999998"]

    def test_no_copy_is_left_behind(self, reader: Reader, tmp_path: Path) -> None:
        reader(b'a\n"1"\n')
        assert [path.name for path in tmp_path.iterdir()] == ["data"]

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "the file is empty"),
            (b" \n\n", "nothing but white space"),
            (b"a,b\n", "a header but not a single row"),
            (b"a,b,c\n" + b"1,2,3\n" * 1040 + b"1,2\n", "row 1042 has 2 fields, the header has 3"),
            (b"a,b\n1,2,3\n", "row 2 has 3 fields, the header has 2"),
            (b'a,b\n"x\ny",2\n1\n', r"row 3 \(line 4\) has 1 field, the header has 2"),
            (b'a,b\n1,2\n"1,2\n3,4\n', "row 3: a quoted field begins here and is never closed"),
            (b'a,b\n"1"x,2\n', "row 2: text follows a closing quote"),
            (b"a,b\n1,\xe9t\xe9\n", r"row 2 is not UTF-8 \(byte 0xe9 at offset 6\)"),
            (b"a\n" + b"1\n" * 3_000_000 + b"\xff\n", r"row 3000002 .* offset 6000002"),
            (b"a\n" + b"1\n" * 40_000 + b"\0\n", "row 40002 holds a zero byte"),
            ("a\né".encode()[:-1], "row 2: the file is cut off in the middle of a character"),
            (b"a,b,a\n1,2,3\n", "columns 1 and 3 are both named 'a'"),
            (b",a\n1,2\n", "column 1 has no name"),
            (b"5.1,3.5\n4.9,3.0\n", "row 1 holds numbers where the names"),
            (b"a\x07b\n1\n", "the name of column 1 holds a control character"),
            (b"a" * 300 + b"\n1\n", "the name of column 1 has 300 characters"),
        ],
    )
    def test_a_bad_file_is_refused_by_row_and_column(
        self, reader: Reader, data: bytes, message: str
    ) -> None:
        with pytest.raises(Invalid, match=rf"^data\.csv: .*{message}"):
            reader(data)

    @pytest.mark.parametrize("field", [b"x" * 140_000, b'"' + b"x" * 140_000 + b'"'])
    def test_a_field_over_the_bound(self, reader: Reader, field: bytes) -> None:
        with pytest.raises(TooLarge, match="row 2 has a field of more than 131072 characters"):
            reader(b"a,b\n1," + field + b"\n")

    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_a_name_on_two_lines(self, reader: Reader, separator: str) -> None:
        header = separator.join(['"total\n(EUR)"', "b"])
        table = reader(f"\n{header}\n1{separator}2\n3{separator}4\n".encode())
        assert table.frame.to_dict(as_series=False) == {"total (EUR)": [1, 3], "b": [2, 4]}

    def test_a_header_longer_than_a_field_may_be(self, reader: Reader) -> None:
        names = [f"the measurement of sensor {number}" for number in range(5000)]
        table = reader(f"{','.join(names)}\n{','.join(['1'] * 5000)}\n".encode())
        assert table.frame.columns == names

    def test_too_many_columns(self, reader: Reader) -> None:
        header = ",".join(f"c{number}" for number in range(10_001)).encode()
        with pytest.raises(TooLarge, match="10001 columns; at most 10000"):
            reader(header + b"\n")


class TestJsonLines:
    def test_keys_become_columns_in_the_order_of_first_sight(self, reader: Reader) -> None:
        table = reader(b'\xef\xbb\xbf{"a":1,"b":"x"}\n\n{"a":2.5,"c":true}\n{"b":null}')
        assert table.format is FileFormat.JSONL
        assert table.frame.to_dict(as_series=False) == {
            "a": [1.0, 2.5, None],
            "b": ["x", None, None],
            "c": [None, True, None],
        }

    def test_mixed_values_become_strings_and_quoted_numbers_stay_strings(
        self, reader: Reader
    ) -> None:
        data = b'{"m":1,"q":"1"}\n{"m":"x","q":"2"}\n{"m":true,"q":"3"}\n'
        assert reader.columns(data) == {"m": ["1", "x", "true"], "q": ["1", "2", "3"]}

    def test_times_are_recognised(self, reader: Reader) -> None:
        assert reader(b'{"t":"2020-01-01"}\n').frame.schema == {"t": pl.Datetime("us")}

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b'{"a":1}\n{"a":\n', "line 2 is not a JSON object"),
            (b'{"a":1}\n\n[1]\n', "line 3 is not a JSON object"),
            (b'{"a":NaN}\n', "line 1 is not a JSON object"),
            (b'{"a":1}\n{"a":"\xff"}\n', "line 2 is not UTF-8"),
            (b'{"a":1}\n{"b":{"c":1}}\n', "line 2: 'b' holds an object; values must be plain"),
            (b'{"a":[1]}\n', "line 1: 'a' holds an array"),
            (b'{"a":' + b"[" * 100_000, "line 1 is nested too deeply"),
            (b"{}\n{}\n", "not a single object with a key"),
            (b'{"":1}\n', "column 1 has no name"),
        ],
    )
    def test_a_bad_file_is_refused_by_line(self, reader: Reader, data: bytes, message: str) -> None:
        with pytest.raises(Invalid, match=rf"^rows\.jsonl: .*{message}"):
            reader(data, "rows.jsonl")


class TestParquet:
    def test_columns_take_their_canonical_types(self, reader: Reader) -> None:
        frame = pl.DataFrame(
            {
                "small": pl.Series([1, None], dtype=pl.UInt8),
                "float": pl.Series([1.5, float("nan")], dtype=pl.Float32),
                "word": pl.Series(["x", ""], dtype=pl.Categorical),
                "day": pl.Series([datetime(2020, 1, 1), None], dtype=pl.Date),  # noqa: DTZ001
                "none": pl.Series([None, None], dtype=pl.Null),
                "huge": pl.Series([2**64 - 1, 1], dtype=pl.UInt64),
            }
        )
        table = reader(parquet(frame))
        assert table.format is FileFormat.PARQUET
        assert table.frame.schema == {
            "small": pl.Int64,
            "float": pl.Float64,
            "word": pl.String,
            "day": pl.Datetime("us"),
            "none": pl.String,
            "huge": pl.Float64,
        }
        assert table.frame["float"].to_list() == [1.5, None]
        assert table.frame["word"].to_list() == ["x", None]

    @pytest.mark.parametrize(
        ("frame", "message"),
        [
            (pl.DataFrame({"tags": [["a"]]}), "column 'tags' is nested"),
            (pl.DataFrame({"point": [{"x": 1}]}), "column 'point' is nested"),
            (pl.DataFrame({"blob": [b"a"]}), "column 'blob' holds large_binary"),
            (pl.DataFrame({"a": pl.Series([], dtype=pl.Int64)}), "not a single row"),
        ],
    )
    def test_what_is_no_plain_table_is_refused(
        self, reader: Reader, frame: pl.DataFrame, message: str
    ) -> None:
        with pytest.raises(Invalid, match=message):
            reader(parquet(frame))

    @pytest.mark.parametrize(
        ("column", "message"),
        [
            (pa.array([1, 2**50], pa.timestamp("s")), "column 'x' holds times outside the years 1"),
            (pa.array([1, 2**62], pa.timestamp("us")), "column 'x' holds times outside the years"),
            (pa.array([1, 2**31 - 1], pa.date32()), "column 'x' holds times outside the years 1"),
            (pa.array([Decimal(10**50), None], pa.decimal256(60)), "column 'x' holds decimal256"),
        ],
    )
    def test_what_no_calendar_and_no_number_reaches(
        self, reader: Reader, column: pa.Array, message: str
    ) -> None:
        file = io.BytesIO()
        pq.write_table(pa.table({"x": column}), file)
        with pytest.raises(Invalid, match=message):
            reader(file.getvalue())

    def test_a_file_that_is_cut_off(self, reader: Reader) -> None:
        whole = parquet(pl.DataFrame({"a": list(range(1000))}))
        with pytest.raises(Invalid, match="the file is cut off or damaged"):
            reader(whole[:-20])

    def test_damaged_pages(self, reader: Reader) -> None:
        whole = parquet(pl.DataFrame({"a": list(range(10_000))}))
        with pytest.raises(Invalid, match="the Parquet data are damaged"):
            reader(whole[:4] + b"\xff" * 500 + whole[504:])


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (50_000_001, 1, "more than 50000000 rows"),
        (50_000_000, 11, "50000000 rows of 11 columns; at most 500000000 cells"),
    ],
)
def test_the_size_of_a_table_is_bounded(rows: int, columns: int, message: str) -> None:
    with pytest.raises(TooLarge, match=message):
        check_size(Source(Path("data"), "data.csv"), rows, columns)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"\xff\xfea\0", "text in UTF-16"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b'[{"a": 1}]', "one JSON array"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\x01\x00\x02", "a binary file"),
    ],
)
def test_the_content_and_not_the_name_says_what_a_file_is(
    reader: Reader, data: bytes, message: str
) -> None:
    with pytest.raises(UnsupportedFormat, match=rf"^data\.csv: .*{message}"):
        reader(data)


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ("/home/ann/x.csv", "x.csv"),
        ("C:\\ann\\x.csv", "x.csv"),
        ("a\nb\x1b[0m.csv", "ab[0m.csv"),
        ("", "the file"),
        ("n" * 200, "n" * 80),
    ],
)
def test_an_error_names_the_file_without_its_folder(
    reader: Reader, filename: str, shown: str
) -> None:
    with pytest.raises(ModelyardError) as caught:
        reader(b"", filename)
    assert caught.value.message == f"{shown}: the file is empty"


MIXED = pl.DataFrame(
    {
        "number": list(range(100)),
        "word": [f"w{number % 7}" for number in range(100)],
        "holes": [number / 3 if number % 5 else None for number in range(100)],
        "truth": [None if number % 3 else True for number in range(100)],
    }
)


@given(
    changes=st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.sampled_from([b"", b'"', b"\n", b"\r", b",", b"{", b"\0", b"\xff", b"\xe2", b"[1]"])
            | st.binary(max_size=4),
            st.integers(0, 20),
        ),
        min_size=1,
        max_size=8,
    ),
    form=st.sampled_from(["csv", "quoted", "jsonl", "conll", "parquet"]),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, bytes, int]], form: str
) -> None:
    whole: dict[str, Callable[[], bytes]] = {
        "csv": lambda: MIXED.write_csv().encode(),
        "quoted": lambda: MIXED.write_csv(quote_style="always").encode(),
        "jsonl": lambda: MIXED.write_ndjson().encode(),
        "conll": lambda: b"EU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\n",
        "parquet": lambda: parquet(MIXED),
    }
    data = whole[form]()
    for where, inserted, deleted in changes:
        place = int(where * len(data))
        data = data[:place] + inserted + data[place + deleted :]
    refused, rows = "", 0
    try:
        frame = Reader(tmp_path_factory.mktemp("damaged"))(data).frame
    except ModelyardError as error:
        refused = error.message
    else:
        rows = frame.height
        json.dumps(preview(frame), allow_nan=False)
    assert rows > 0 or refused.startswith("data.csv: ")
