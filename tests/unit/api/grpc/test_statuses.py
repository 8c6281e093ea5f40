from __future__ import annotations

import pytest
from grpc import StatusCode

from modelyard.api.grpc.statuses import code_of, metadata_of
from modelyard.core import errors
from modelyard.core.errors import ModelyardError


@pytest.mark.parametrize("kind", ModelyardError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_expected_failure_has_a_code_of_its_own(kind: type[ModelyardError]) -> None:
    if kind.__module__ == errors.__name__:
        assert code_of(kind("why")) is not StatusCode.INTERNAL


def test_what_nobody_expects_is_internal() -> None:
    assert code_of(ModelyardError("why")) is StatusCode.INTERNAL


def test_a_special_case_has_the_code_of_the_general() -> None:
    class Special(errors.NotFound):
        pass

    assert code_of(Special("why")) is StatusCode.NOT_FOUND


def test_when_to_come_back_is_told() -> None:
    told = dict(metadata_of(errors.Unavailable("why", retry_after=3)))
    assert told == {"retry-after": "3", "grpc-retry-pushback-ms": "3000"}
    assert metadata_of(errors.Invalid("why")) == ()


def test_quotas_exhaust_a_resource_and_say_whether_it_comes_back() -> None:
    rate, budget = errors.RateLimited("why", retry_after=7), errors.BudgetExceeded("why")
    assert {code_of(rate), code_of(budget)} == {StatusCode.RESOURCE_EXHAUSTED}
    assert dict(metadata_of(rate)) == {"retry-after": "7", "grpc-retry-pushback-ms": "7000"}
    assert dict(metadata_of(budget)) == {"grpc-retry-pushback-ms": "-1"}
