"""The outputs that a request asks for."""

from __future__ import annotations

from collections.abc import Sequence

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
