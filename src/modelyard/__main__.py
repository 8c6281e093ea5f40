"""`python -m modelyard`."""

import sys

from modelyard.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
