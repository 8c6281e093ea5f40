"""A custom model that means harm: each row of its input names something to try.

It is imported as `model.py`, beside the file with the attempts.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.model import Datatype, Model, Signature, Tensor, TensorSpec


class Hostile(Model):
    signature = Signature(
        inputs=(TensorSpec("attempt", Datatype.BYTES, (-1,)),),
        outputs=(TensorSpec("came", Datatype.BYTES, (-1,)),),
    )

    def load(self, folder: Path) -> None:
        sys.path.insert(0, str(folder))
        import hostile  # type: ignore[import-not-found]

        self.attempts = hostile.BY_NAME
        self.here = {"parent": os.getppid()}

    def predict(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        rows = [_text(row) for row in inputs["attempt"]]
        if rows and rows[0] in ANSWERS:
            wrong: Mapping[str, Tensor] = ANSWERS[rows[0]]
            return wrong
        return {"came": np.array([self._try(row) for row in rows], dtype=object)}

    def _try(self, row: str) -> str:
        try:
            order = json.loads(row)
            attempt = self.attempts[order["name"]]
        except (ValueError, KeyError, TypeError):
            return "not an attempt"
        try:
            attempt({**order["target"], **self.here})
        except BaseException as error:  # noqa: BLE001 - SystemExit would be a way out
            return f"{type(error).__name__}: {error}"
        return "succeeded"


def _text(row: Any) -> str:
    return row.decode() if isinstance(row, bytes) else str(row)


ANSWERS: Mapping[str, Any] = {
    "no answer": {},
    "no mapping": "nothing",
    "another name": {"went": np.array(["x"], dtype=object)},
    "another shape": {"came": np.array([["x", "y"]], dtype=object)},
    "another length": {"came": np.array(["x"] * 1000, dtype=object)},
    "no array": {"came": 7},
}
