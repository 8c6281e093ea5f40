from pathlib import Path

import msgspec
import pytest

from modelyard.core import errors
from modelyard.core.tasks import Outcome
from modelyard.training.outcomes import MAX_RESULT_BYTES, error_of, left_file, read_result


class Result(msgspec.Struct):
    rows: int


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid", errors.Invalid),
        ("unsupported_format", errors.UnsupportedFormat),
        ("too_large", errors.TooLarge),
        ("not_installed", errors.NotInstalled),
    ],
)
def test_what_the_task_raised_is_raised_again(code: str, kind: type[Exception]) -> None:
    error = error_of(Outcome(ok=False, code=code, message="row 3 is wrong"), "file 'a.csv'")
    assert type(error) is kind
    assert error.message == "row 3 is wrong"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("crashed", errors.Invalid),
        ("killed", errors.Unavailable),
        ("task_failed", errors.Invalid),
        ("timed_out", errors.TooLarge),
        ("out_of_memory", errors.TooLarge),
    ],
)
def test_what_it_could_not_say_names_the_file(code: str, kind: type[Exception]) -> None:
    error = error_of(Outcome(ok=False, code=code, message="so it was"), "file 'a.csv'")
    assert type(error) is kind
    assert error.message == "file 'a.csv' could not be read: so it was"


@pytest.mark.parametrize("code", ["unauthenticated", "forbidden", "lost_lease", "nonsense", ""])
def test_a_task_cannot_raise_what_is_not_its_to_raise(code: str) -> None:
    error = error_of(Outcome(ok=False, code=code, message="x"), "file")
    assert type(error) is errors.ModelyardError


def test_a_result_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with pytest.raises(errors.Invalid, match=r"did not leave the file 'result.json'"):
        read_result(tmp_path, Result)
    path.write_text('{"rows": 3}')
    assert read_result(tmp_path, Result).rows == 3
    for wrong in ('{"rows": "many"}', "", "{", "\xff"):
        path.write_text(wrong, "latin-1")
        with pytest.raises(errors.Invalid, match="result is not valid"):
            read_result(tmp_path, Result)
    with path.open("wb") as file:
        file.truncate(MAX_RESULT_BYTES + 1)
    with pytest.raises(errors.TooLarge):
        read_result(tmp_path, Result)


def test_only_plain_files_in_the_folder_count(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "folder").mkdir(parents=True)
    (scratch / "folder" / "inner").write_text("x")
    (tmp_path / "secret").write_text("x")
    (scratch / "link").symlink_to(tmp_path / "secret")
    (scratch / "good").write_text("x")
    assert left_file(scratch, "good") == scratch / "good"
    outside = str(tmp_path / "secret")
    for name in ("link", "folder", "folder/inner", "../secret", outside, ".", "..", "", "a\0b"):
        with pytest.raises(errors.Invalid):
            left_file(scratch, name)
