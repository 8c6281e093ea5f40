"""The names that users give to models, datasets and deployments."""

from __future__ import annotations

import re
from typing import Final

from modelyard.core.errors import Invalid

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


def check_name(kind: str, name: str) -> str:
    """Return `name` if it can stand in a URL, a file name and a metric label alike.

    Raises:
        Invalid: anything but 1 to 63 of a-z, 0-9, `.`, `_`, `-`, beginning and ending with a
            letter or digit.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise Invalid(
            f"{kind} name {name[:80]!r} must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-', "
            "begin and end with a letter or a digit, and hold no '..'"
        )
    return name
