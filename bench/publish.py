"""Put a measurement into the documentation: the page's table and the picture.

`python -m bench.publish RESULTS.json` does it again without measuring.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

import msgspec

from bench.environments import ROOT
from bench.picture import picture
from bench.report import markdown
from bench.results import Results

PAGE: Final = ROOT / "docs/explanation/performance.md"
PICTURE: Final = ROOT / "docs/images/performance.svg"
_REGION: Final = re.compile(r"(<!-- measured -->\n).*?(<!-- end -->)", re.S)


def publish(results: Results, page: Path = PAGE, drawing: Path = PICTURE) -> None:
    """Rewrite what stands between the page's markers, and the picture."""
    drawing.write_text(picture(results), encoding="utf-8")
    drawn = "![Processor time a request, server by server](../images/performance.svg)"
    table = f"{drawn}\n\n{markdown(results)}\n\n"
    present = page.read_text(encoding="utf-8")
    written = _REGION.sub(lambda found: f"{found[1]}{table}{found[2]}", present)
    page.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    publish(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Results))
