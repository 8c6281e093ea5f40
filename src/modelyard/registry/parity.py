"""How the served form of a model compares with the form it was made from."""

from __future__ import annotations

import msgspec


class Parity(msgspec.Struct, frozen=True, omit_defaults=True):
    """The comparison, on `rows` real rows.

    `largest_difference` is the largest absolute difference of any number in the outputs;
    `label_agreement` is the share of rows with the same predicted class (None for regression).
    `reason` says why the forms do not agree or why no conversion was made.
    """

    agreed: bool
    rows: int = 0
    largest_difference: float | None = None
    tolerance: float | None = None
    label_agreement: float | None = None
    reason: str = ""
