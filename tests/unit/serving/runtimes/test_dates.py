import math

import numpy as np
import pytest

from modelyard.core.errors import Invalid
from modelyard.serving.runtimes.dates import PARTS, date_parts


def parts(text: str) -> dict[str, float]:
    (row,) = date_parts(np.array([text], dtype=np.object_), "day")
    assert row.dtype == np.float32
    return dict(zip(PARTS, map(float, row), strict=True))


def test_a_date_is_told_by_what_a_trend_and_a_season_need() -> None:
    found = parts("2026-11-22T18:30:00")
    assert (found["month"], found["day"], found["weekday"]) == (11, 22, 6)
    assert found["hour"] == 18.5
    assert found["years"] == pytest.approx(26.89, abs=0.01)
    assert math.hypot(found["sine"], found["cosine"]) == pytest.approx(1)
    assert parts("2026-01-01")["cosine"] == pytest.approx(1)


def test_a_zone_is_moved_to_utc_and_nothing_is_unknown() -> None:
    assert parts("2026-11-22T01:00:00+02:00") == parts("2026-11-21T23:00:00Z")
    assert parts("2026-11-21T23:00:00Z") == parts("2026-11-21T23:00:00")
    assert all(math.isnan(value) for value in parts("").values())


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01", "22.11.2026", "2" * 100, "0001-01-01T00:00:00+10:00"]
)
def test_what_is_no_date_is_named(text: str) -> None:
    with pytest.raises(Invalid, match=r"input 'day' is '.*' in row 1; expected a date or a time"):
        date_parts(np.array(["2026-11-22", text], dtype=np.object_), "day")
