"""What `modelyard doctor` runs in a sandbox: the largest library that every installation has."""

from __future__ import annotations

import importlib
import sys


def main() -> int:
    """Load it and say which version it is."""
    library = importlib.import_module("onnxruntime")
    sys.stdout.write(f"onnxruntime {library.__version__}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
