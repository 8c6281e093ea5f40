import pytest

from modelyard.core.errors import Invalid
from modelyard.registry.model import Reference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("churn", Reference("churn")),
        ("churn:3", Reference("churn", version=3)),
        ("churn:999999999", Reference("churn", version=999_999_999)),
        ("churn@champion", Reference("churn", alias="champion")),
    ],
)
def test_the_three_forms(text: str, reference: Reference) -> None:
    assert Reference.parse(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        ":",
        "a@",
        "a:",
        "@b",
        ":1",
        "a:b",
        "a:-1",
        "a:1.0",
        "a: 1",
        "a:\u0661",
        "a:1@b",
        "a@b@c",
        "a:1:2",
        "A",
        "a:" + "9" * 10,
        "a:" + "9" * 5000,
        "a/b",
        "a\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        Reference.parse(text)
    assert len(caught.value.message) < 300
