"""The task of `working.py`, apart from it: it starts often, and needs little."""

import os
import sys
import time
from pathlib import Path

from modelyard.adapters.engine import child
from modelyard.core.errors import Invalid
from modelyard.core.tasks import Progress, Report


def word(scratch: Path, report: Report) -> None:
    report(Progress(f"pid {os.getpid()}", 0.5))
    how = (scratch / "how").read_text()
    if how == "abort":
        os.abort()
    if how == "badly":
        raise Invalid("the word is bad")
    time.sleep(float((scratch / "seconds").read_text()))
    (scratch / "word").write_text("yes")


if __name__ == "__main__":
    sys.exit(child.main({"word": word}, sys.argv[1:]))
