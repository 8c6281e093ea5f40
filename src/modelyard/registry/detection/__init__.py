"""What a file is, by its content. Its name decides nothing.

Nothing here executes, parses deeply or trusts what it reads: a few bytes at known places tell the
formats apart, and the parser of the format says later whether the file is a good one.
"""

from __future__ import annotations

from modelyard.registry.detection.file import find_format
from modelyard.registry.detection.folder import find_model
from modelyard.registry.detection.strangers import SUPPORTED

__all__ = ["SUPPORTED", "find_format", "find_model"]
