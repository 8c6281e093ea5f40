import inspect

import pytest

from modelyard.api import statuses
from modelyard.core import errors
from modelyard.core.errors import ModelyardError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, ModelyardError) and kind is not ModelyardError
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_expected_error_has_a_status_of_its_own(kind: type[ModelyardError]) -> None:
    error = kind("told")
    assert statuses.status_of(error) != 500
    problem = statuses.problem(error)
    assert (problem.detail, problem.code, problem.type) == ("told", kind.code, "about:blank")
    assert problem.title == statuses.status_of(error).phrase


def test_a_subclass_has_its_parents_status() -> None:
    class Finer(errors.NotFound):
        """A kind that the table does not name."""

    assert statuses.status_of(Finer("x")) == 404
    assert statuses.status_of(ModelyardError("x")) == 500


def test_retry_after_and_the_challenge_are_headers() -> None:
    assert statuses.headers_of(errors.Unavailable("x", retry_after=7)) == {"retry-after": "7"}
    assert "www-authenticate" in statuses.headers_of(errors.Unauthenticated("x"))
    assert statuses.headers_of(errors.Invalid("x")) == {}


def test_codes_differ() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)
