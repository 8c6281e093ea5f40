"""What is told of an estimator's training while it goes on, and where it may be taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.tasks import Progress, Report

CHECKPOINT_FILE: Final = "checkpoint.pt"
"""In the scratch folder: left by the task, and put there again for the next attempt's."""


def _silent(_: Progress) -> None:
    """Nobody wants to know."""


class Watch(msgspec.Struct, frozen=True):
    """`report` takes progress, as fractions of this training. `checkpoint` is a file that the
    training goes on from if it is there, and that it writes anew now and then, but at most every
    `seconds`; None for one that is not worth it.
    """

    report: Report = _silent
    checkpoint: Path | None = None
    seconds: float = 0.5
