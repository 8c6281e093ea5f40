"""How columns are treated before an algorithm sees them, where it is not left to the data."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from modelyard.core.errors import Invalid

EVERY: Final = "*"
"""Stands for all columns, in place of a name."""


class Imputation(StrEnum):
    """What takes the place of a missing number."""

    MEAN = "mean"
    MEDIAN = "median"
    MOST_FREQUENT = "most_frequent"
    CONSTANT = "constant"


class Scaling(StrEnum):
    """How numbers are brought to one size: to mean 0 and deviation 1, to 0 to 1, by median and
    quartiles, or not.
    """

    STANDARD = "standard"
    MIN_MAX = "min_max"
    ROBUST = "robust"
    NONE = "none"


class Encoding(StrEnum):
    """How a category becomes numbers: a column for each, its place, or the mean of the target."""

    ONE_HOT = "one_hot"
    ORDINAL = "ordinal"
    TARGET = "target"


class Treatment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of one column; what is None follows from the data and the algorithm.

    `fill` is the constant, within float32. `indicator` adds a column that is 1 where the number was
    missing.
    """

    role: Literal["number", "category", "date", "text", "ignore"] | None = None
    impute: Imputation | None = None
    fill: Annotated[float, Meta(ge=-3e38, le=3e38)] | None = None
    indicator: bool | None = None
    scale: Scaling | None = None
    encode: Encoding | None = None

    def over(self, general: Treatment) -> Treatment:
        """This one, and what it leaves open from the general one."""
        own = {name: value for name, value in _given(self).items() if value is not None}
        return msgspec.structs.replace(general, **own)


class SelectionMethod(StrEnum):
    """The columns of the matrix that are kept: the best by an F-test, those that vary, or those
    that a linear model with an L1 penalty uses.
    """

    K_BEST = "k_best"
    VARIANCE = "variance"
    L1 = "l1"


class FeatureSelection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`k` columns by `k_best`; those above `threshold` by `variance`; `alpha` is the strength of
    the penalty by `l1`, for a target of unit size.
    """

    method: SelectionMethod
    k: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    threshold: Annotated[float, Meta(ge=0, le=1e12)] = 0.0
    alpha: Annotated[float, Meta(gt=0, le=1e6)] = 0.01


_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "impute": ("number", "date"),
    "fill": ("number", "date"),
    "indicator": ("number",),
    "scale": ("number", "date"),
    "encode": ("category",),
}
"""The roles that each option is for."""


def treatments_of(
    asked: Mapping[str, Treatment], roles: Mapping[str, str], *, supervised: bool
) -> dict[str, Treatment]:
    """The treatment of each feature that has one; `roles` are the features'.

    What is said of every column holds for those that it fits.

    Raises:
        Invalid: an option does not fit its column, or needs a target; both are named.
    """
    general = asked.get(EVERY, Treatment())
    found: dict[str, Treatment] = {}
    for name, role in roles.items():
        own = asked.get(name, Treatment())
        for option, value in _given(own).items():
            if value is not None and role not in _FOR.get(option, (role,)):
                fit = " or a ".join(_FOR[option])
                raise Invalid(
                    f"preprocessing of column '{name[:80]}': '{option}' is for a {fit}, and this "
                    f"is a {role}"
                )
        fitting = {
            option: value for option, value in _given(general).items() if role in _FOR[option]
        }
        treatment = own.over(msgspec.convert(fitting, Treatment))
        _check(name, treatment, supervised=supervised)
        if treatment != Treatment():
            found[name] = msgspec.structs.replace(treatment, role=None)
    return {name: each for name, each in found.items() if each != Treatment()}


def _given(treatment: Treatment) -> dict[str, object]:
    """What it says of how, the role aside."""
    values = msgspec.structs.asdict(treatment)
    del values["role"]
    return values


def _check(name: str, treatment: Treatment, *, supervised: bool) -> None:
    where = f"preprocessing of column '{name[:80]}'"
    if treatment.fill is not None and treatment.impute is not Imputation.CONSTANT:
        raise Invalid(f"{where}: 'fill' is the constant of 'impute': 'constant'")
    if treatment.encode is Encoding.TARGET and not supervised:
        raise Invalid(f"{where}: 'encode': 'target' needs a target, and there is none")


def check_selection(selection: FeatureSelection | None, *, supervised: bool) -> None:
    """Raises Invalid for a method that needs a target where there is none."""
    if selection is None or supervised or selection.method is SelectionMethod.VARIANCE:
        return
    raise Invalid(f"selection by '{selection.method}' needs a target, and there is none")
