"""What a request asks for besides the tensors that it brings."""

from __future__ import annotations

from collections.abc import Container, Sequence

from modelyard.core.errors import Invalid
from modelyard.serving.snapshot import Route


def requested_outputs(names: Sequence[str], route: Route) -> list[str]:
    """The names, if the model gives them all.

    Raises:
        Invalid: an output that the model does not give, or one that is asked for twice.
    """
    known = [spec.name for spec in route.signature.outputs]
    wanted: list[str] = []
    for name in names:
        if name not in known:
            raise Invalid(
                f"output '{name[:80]}' is unknown; the model gives "
                + ", ".join(f"'{each}'" for each in known)
            )
        if name in wanted:
            raise Invalid(f"output '{name}' is asked for twice")
        wanted.append(name)
    return wanted


def refuse_unserved(what: str, parameters: Container[str]) -> None:
    """Refuse a tensor's parameters that would change what an answer means.

    Raises:
        Invalid: shared memory, which is never served, or Triton's classification of an output.
    """
    if "shared_memory_region" in parameters:
        raise Invalid(f"{what}: shared memory is not served: send tensors with the request")
    if "classification" in parameters:
        raise Invalid(f"{what}: the classification extension is not served")
