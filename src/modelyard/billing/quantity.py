"""How many units were used, as they are priced."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from modelyard.billing.rate import Unit
from modelyard.core.metering import Quantities
from modelyard.core.money import scaled


def by_unit(used: Quantities) -> Mapping[Unit, int]:
    """The quantity of each unit of a deployment, in its smallest parts."""
    return {
        Unit.REQUEST: used.requests,
        Unit.ROW: used.rows,
        Unit.INPUT_TOKEN: used.input_tokens,
        Unit.CACHED_TOKEN: used.cached_tokens,
        Unit.OUTPUT_TOKEN: used.output_tokens,
        Unit.COMPUTE_SECOND: used.compute,
    }


def whole(unit: Unit, quantity: int) -> Decimal:
    """A quantity in units, exactly."""
    return scaled(Decimal(quantity), -unit.digits)


def of_units(used: Quantities) -> Mapping[Unit, Decimal]:
    """The units of each kind, exactly."""
    return {unit: whole(unit, quantity) for unit, quantity in by_unit(used).items()}
