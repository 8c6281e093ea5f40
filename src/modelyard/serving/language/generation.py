"""One generation of text: what is asked for, and the events by which it is answered.

These are also what gateway and replica send each other, as JSON, in the options of a call and in
the details of its parts and of its answer.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final, Protocol, runtime_checkable

import msgspec
from msgspec import Meta

from modelyard.core.errors import Invalid
from modelyard.serving.stopping import StopSignal

MAX_STOPS: Final = 16
MAX_TOKENS: Final = 1 << 20
MAX_TOP: Final = 20

Penalty = Annotated[float, Meta(ge=-2, le=2)]


class ContextOverflow(Invalid):
    """Prompt and answer do not fit what the model can look at."""

    code = "context_length_exceeded"


class Role(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation, before the model's template has been applied."""

    role: Role
    content: str


class Sampling(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How the next token is chosen. A temperature of 0 always takes the likeliest.

    `top_k` of 0 is no bound. `stop` ends the text before any of these strings. `max_tokens` of 0
    goes on to the end of the context. With `ignore_eos` the model cannot end by itself. With
    `logprobs` each token comes with its log-probability, and with those of the `top_logprobs`
    likeliest.
    """

    max_tokens: Annotated[int, Meta(ge=0, le=MAX_TOKENS)] = 0
    temperature: Annotated[float, Meta(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Meta(ge=0, le=1000)] = 0
    min_p: Annotated[float, Meta(ge=0, le=1)] = 0.0
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    repetition_penalty: Annotated[float, Meta(gt=0, le=2)] = 1.0
    ignore_eos: bool = False
    seed: Annotated[int, Meta(ge=0, lt=1 << 32)] | None = None
    stop: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(max_length=MAX_STOPS)
    ] = ()
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP)] = 0


class Generation(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What to go on with: a conversation, or else a text as it stands.

    `schema` is a JSON schema that the answer must keep to, as `schemas.accepted` gives it; empty
    for none. `tenant` and `key` tell who asks: nobody waits for long behind another's flood, and
    what an engine keeps of a prompt is for its tenant alone.
    """

    messages: tuple[Message, ...] = ()
    prompt: str = ""
    sampling: Sampling = Sampling()
    schema: str = ""
    tenant: str = ""
    key: str = ""


class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """A token that could have come, and its natural log-probability."""

    token: str
    logprob: float


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True):
    """The token that came, its log-probability, and the likeliest at its place."""

    token: str
    logprob: float
    top: tuple[Candidate, ...] = ()


class Asker(msgspec.Struct, frozen=True):
    """Who asks, as it stands in a generation."""

    tenant: str = ""
    key: str = ""


class CallPiece(msgspec.Struct, frozen=True, array_like=True):
    """More of a call of a tool: `index` tells the calls of one answer apart; the id and the name
    come with the first piece, the arguments (JSON) in any number of them.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Piece(msgspec.Struct, frozen=True, tag="p", omit_defaults=True):
    """More text. `tokens` is how many tokens have come since the last piece: the text of some may
    be kept back, since it is half a letter or the beginning of a stop string.

    The first piece tells the tokens of the prompt, and how many of them did not have to be
    computed: what is known of an answer that is never ended is known from its pieces.

    `calls` and `refusal` come from models that are asked in OpenAI's words: calls of tools, and
    text by which the model declines.
    """

    text: str
    tokens: int = 1
    logprobs: tuple[TokenLogprob, ...] = ()
    calls: tuple[CallPiece, ...] = ()
    refusal: str = ""
    prompt: int = 0
    cached: int = 0


class Reason(StrEnum):
    """Why a generation has ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    CANCELLED = "cancelled"


class Finish(msgspec.Struct, frozen=True, tag="f", omit_defaults=True):
    """The end, with counts of tokens. `cached` of the prompt's did not have to be computed.

    `estimated`: nobody has counted; these are told by what has come.
    """

    reason: Reason
    prompt: int
    completion: int
    cached: int = 0
    estimated: bool = False


Event = Piece | Finish

Hear = Callable[[Piece], None]
"""Who hears the pieces of a generation. It must not raise."""

_encode: Final = msgspec.json.Encoder().encode
_event: Final = msgspec.json.Decoder(Event)
_generation: Final = msgspec.json.Decoder(Generation)
_asker: Final = msgspec.json.Decoder(Asker)


@runtime_checkable
class LanguageModel(Protocol):
    """An engine with its model, a `LoadedModel` besides. `concurrency` threads may call `generate`
    at once, and `spare` ones beside: those are kept for tenants that have no call under way.

    `context` is the most tokens of prompt and answer together. With `steps` it computes the next
    tokens of all calls together: what they are told may be kept until it calls `after_step`.
    """

    concurrency: int
    spare: int
    context: int
    steps: bool
    after_step: Callable[[], None]

    def generate(self, asked: Generation, hear: Hear, stop: StopSignal | None = None) -> Finish:
        """Tell `hear` the pieces as they come, on this thread or another, one after the other;
        returns once there are no more. `stop` ends it early, with `CANCELLED`.

        Raises:
            ContextOverflow: the prompt does not fit; nothing was generated.
            Invalid: the engine cannot do what is asked for.
        """
        ...


def written(message: msgspec.Struct) -> bytes:
    """A generation or an event as it is sent."""
    return _encode(message)


def read_generation(data: bytes) -> Generation:
    """Raises Invalid for what is no generation."""
    generation: Generation = _read(_generation, data)
    return generation


def read_asker(data: bytes) -> Asker:
    """Who asks for a generation; nobody for what is none."""
    try:
        return _asker.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Asker()


def read_event(data: bytes) -> Event:
    """Raises Invalid for what is no event."""
    event: Event = _read(_event, data)
    return event


def _read(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"this is not what one says to a language model: {error}") from None
