"""What rooms tell each other without knowing each other."""

from __future__ import annotations

from typing import Final

import msgspec

GONE: Final = 499
"""The status under which a request is recorded whose client went away before the answer."""


class PredictionMade(msgspec.Struct, frozen=True, array_like=True):
    """One inference request that was answered: what the usage journal records.

    The gateway writes it before the answer leaves; billing and monitoring read it. Fields are
    stored by position: new ones go to the end, with a default.

    `cached` tells that the answer came from the response cache and the model did not run.
    `at` is microseconds since 1970 (UTC) at the start of the request; `status` is HTTP's;
    `duration` is microseconds; `rows` counts rows answered, so it is 0 on an error.

    Of a request to a language model, or to one that counts tokens: those of the prompt, how many
    of these had not to be computed, those that were generated, and why it ended.

    `owner_id` is the tenant whose deployment answered, where that is another than the caller's.
    `compute` is microseconds in which the model ran for it: of a shared call, its rows' share; 0
    where the model is one of language, whose work is counted in tokens.
    """

    request_id: str
    at: int
    tenant_id: str
    key_id: str
    deployment: str
    model: str
    version: int
    status: int
    rows: int
    bytes_in: int
    bytes_out: int
    duration: int
    cached: bool = False
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    finish: str = ""
    deployment_id: str = ""
    owner_id: str = ""
    compute: int = 0

    @property
    def owner(self) -> str:
        """The tenant whose deployment answered: whose prices hold."""
        return self.owner_id or self.tenant_id
