"""Progress of a part of a task, told as progress of the whole."""

from __future__ import annotations

import msgspec

from modelyard.core.tasks import Progress, Report


def portion(report: Report, start: float, size: float) -> Report:
    """A report for a part that begins at `start` and takes `size` of the whole."""

    def scaled(line: Progress) -> None:
        if line.fraction is not None:
            line = msgspec.structs.replace(line, fraction=start + size * line.fraction)
        report(line)

    return scaled
