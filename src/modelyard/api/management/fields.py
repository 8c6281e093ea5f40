"""Fields that several requests share, with their bounds."""

from __future__ import annotations

from typing import Annotated

from litestar.params import PathParameter
from msgspec import Meta

Digest = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]{64}$",
        description="The SHA-256 of an uploaded file, as 64 lower-case hex digits.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    ),
]

Filename = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        description="What its owner calls the file; the ending helps to tell its format.",
        examples=["churn.csv"],
    ),
]

Number = Annotated[int, PathParameter(ge=1, le=2**31 - 1, description="The version's number.")]
"""A version's number in a path: within what databases hold as an integer."""

Name = Annotated[str, PathParameter(max_length=200)]
"""A name or an id in a path, before anybody has looked whether there is such a thing."""
