"""Contests: a new version beside others, on the same held-out rows.

A rival runs as it is served: as a graph, on the columns that its signature names.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, Signature
from modelyard.registry.card import Split
from modelyard.registry.evaluation import Comparison
from modelyard.serving.runtimes.text import TextFeatures
from modelyard.training.evaluation.bootstrap import differences
from modelyard.training.evaluation.metrics import values
from modelyard.training.evaluation.prediction import Predicted, ask_served
from modelyard.training.evaluation.rivals import Rival
from modelyard.training.preprocessing import features_of
from modelyard.training.problem import Problem, Role
from modelyard.training.rows import Rows
from modelyard.training.served_graph import ServedGraph

if TYPE_CHECKING:
    import polars as pl

_log = logging.getLogger(__name__)


class Contest(msgspec.Struct, frozen=True):
    """What the rivals are compared with: what the new version `found` of the rows `outside`, which
    are the `held_out` rows of the table, chosen by `split`.
    """

    problem: Problem
    metric: str
    found: Predicted
    outside: Rows
    held_out: pl.DataFrame
    split: Split
    seed: int
    folder: Path

    def compare(self, rival: Rival) -> Comparison:
        """Both on the same rows, and on the same draws of them; or why that cannot be."""
        try:
            theirs = self._ask(rival)
        except Invalid as error:
            return Comparison(rival.alias, rival.version, reason=error.message)
        except Exception as error:  # noqa: BLE001 - a graph may fail in any way
            _log.warning("a rival could not be asked", exc_info=True)
            reason = f"it could not be asked: {type(error).__name__}"
            return Comparison(rival.alias, rival.version, reason=reason)
        names = (self.metric,)
        mine, others = values(self.found, names), values(theirs, names)
        if not mine or not others:
            reason = f"{self.metric} is not defined for both"
            return Comparison(rival.alias, rival.version, reason=reason)
        between = differences(self.found, theirs, names, self.seed, self.outside.groups)
        return Comparison(
            alias=rival.alias,
            version=rival.version,
            metric=self.metric,
            mine=mine[self.metric],
            theirs=others[self.metric],
            difference=mine[self.metric] - others[self.metric],
            interval=between.get(self.metric),
            rows=len(self.outside),
            seen=rival.split != self.split,
        )

    def _ask(self, rival: Rival) -> Predicted:
        """Raises Invalid when the rival does something else, or takes what the table lacks."""
        if rival.reason:
            raise Invalid(rival.reason)
        if rival.task != self.problem.task or rival.target not in ("", self.problem.target):
            raise Invalid(f"it does {rival.task or 'something else'} of '{rival.target}'")
        signature = rival.signature
        if signature is None:
            raise Invalid("nobody knows what it takes")
        taken = _columns(signature, self.held_out, self.problem)
        text = None
        if rival.features:
            text = TextFeatures.load((self.folder / rival.features).read_bytes())
        graph = ServedGraph((self.folder / rival.graph).read_bytes(), signature, text)
        rows = features_of(self.held_out, taken)
        return ask_served(graph, Rows(rows, self.outside.target), taken)


def _columns(signature: Signature, table: pl.DataFrame, problem: Problem) -> Problem:
    """The problem with the columns that the signature takes.

    Raises:
        Invalid: the table has no such column, or one of another kind.
    """
    import polars as pl

    roles: dict[str, Role] = {}
    for spec in signature.inputs:
        for name in spec.columns or (spec.name,):
            if name not in table.columns:
                raise Invalid(f"it takes a column '{name[:80]}', which the table does not have")
            kind = table.schema[name]
            if spec.datatype is Datatype.BYTES:
                roles[name] = Role.DATE if kind.is_temporal() else Role.CATEGORY
            elif kind.is_numeric() or kind == pl.Boolean:
                roles[name] = Role.NUMBER
            else:
                raise Invalid(f"it takes numbers in column '{name[:80]}', which holds others now")
    return msgspec.structs.replace(problem, features=roles)
