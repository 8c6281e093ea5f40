import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.errors import Invalid
from modelyard.core.names import check_name


@given(st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", fullmatch=True))
def test_plain_names_pass(name: str) -> None:
    assert check_name("model", name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "a b",
        "a/b",
        "../a",
        "a..b",
        ".a",
        "a.",
        "-a",
        "a-",
        "a\n",
        "ä",
        "a" * 64,
        "a\x00",
        'a"b',
        "a:1",
        "a@b",
        "%61",
        "a" * 1000000,
    ],
)
def test_names_that_would_hurt_a_path_a_label_or_a_url_are_refused(name: str) -> None:
    with pytest.raises(Invalid, match="model name") as caught:
        check_name("model", name)
    assert len(caught.value.message) < 300
