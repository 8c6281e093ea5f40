"""Generated requests along the published description of the data plane: whatever is sent, there
is no 5xx, and no answer that the description does not have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.conftest import Server

DESCRIPTION = Path(__file__).parents[2] / "docs/reference/inference.yaml"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


PARAMETERS = {
    "model": ["numbers", "words", "mixed", "nothing", "\u00fc"],
    "version": ["1", "2", "x"],
}
"""Values for some parameters; the others' come from the whole space."""

METHODS = ("get", "post")


def read() -> Any:
    described = msgspec.yaml.decode(DESCRIPTION.read_bytes())
    for name, values in PARAMETERS.items():
        described["components"]["parameters"][name]["schema"] = {"enum": values}
    return described


DESCRIBED = read()
OPERATIONS = [
    (path, method)
    for path, item in DESCRIBED["paths"].items()
    for method in METHODS
    if method in item
]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_described(
    server: Server, clients_key: str, path: str, method: str
) -> None:
    schema = schemathesis.openapi.from_dict(DESCRIBED)
    schema.config.update(base_url=server.url)
    key = {"Authorization": f"Bearer {clients_key}"}
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @given(case=schema[path][method].as_strategy(generation_mode=mode))
        @settings(max_examples=15, suppress_health_check=list(HealthCheck), database=None)
        def answered(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(headers=key, checks=CHECKS)

        try:
            answered()
        except Unsatisfiable:
            # Nothing is wrong with a request that has no parts.
            assert mode is GenerationMode.NEGATIVE
