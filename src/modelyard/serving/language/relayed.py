"""What is asked of a model that runs at somebody else's, in the words of the OpenAI API.

An engine of ours is given text to go on with (`Generation`): tools have been told in it, schemas
been cut down to what engines know. Who has an OpenAI API is asked as we were asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeGuard

import msgspec

from modelyard.core.errors import ModelyardError
from modelyard.serving.language.generation import Finish
from modelyard.serving.language.ports import Listener, Spoken


class Capability(StrEnum):
    """What a model can be asked for."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


class Relayed(msgspec.Struct, frozen=True):
    """A request for text, checked and with nothing in it but known fields.

    `fields` are as the client has sent them, without the model's name and how the answer is to
    come. `choices` is how many answers there will be in all. `headers` are the request's own, by
    names in lower case, of which some may be passed on. `size` is that of the prompt, in
    characters or so.
    """

    capability: Capability
    fields: Mapping[str, Any]
    choices: int
    headers: Mapping[bytes, bytes] = {}
    size: int = 0


class RelayListener(Listener, Protocol):
    """Who hears one choice of the answer."""

    def answered_by(self, name: str) -> None:
        """It is about to answer: a provider, and its name of the model."""
        ...

    def broke_off(self, error: ModelyardError, so_far: Finish) -> None:
        """It has broken off in the middle of its answer; `so_far` has the counts until then."""
        ...


class Relay(Protocol):
    """A runtime that has others answer. Lives on one event loop."""

    def relay(self, asked: Relayed, seconds: float, listeners: Sequence[RelayListener]) -> Spoken:
        """Pass on a request that may take so many seconds. There is a listener for each choice;
        none hears anything before this has returned, and to cancel is to cancel all.

        The counts of the whole request are the first one's; the others' are 0.

        Raises:
            Invalid: it is not asked for such things.
            Unavailable: not now.
        """
        ...


def is_relay(runtime: object) -> TypeGuard[Relay]:
    """Whether the runtime is one: much cheaper than `isinstance`, and asked for every request."""
    return hasattr(type(runtime), "relay")
