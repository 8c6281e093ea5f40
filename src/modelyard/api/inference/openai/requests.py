"""What OpenAI's clients ask for, read into generations. Fields that are not here are not used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, TypeVar

import msgspec
from msgspec import Meta

from modelyard.api.inference.openai.errors import Unsupported
from modelyard.api.inference.openai.formats import ResponseFormat
from modelyard.api.inference.openai.functions import MAX_TOOLS, ChatTool, ToolChoice, offered
from modelyard.api.inference.openai.messages import ChatMessage
from modelyard.core.errors import Invalid
from modelyard.serving.language import tools
from modelyard.serving.language.generation import Generation, Sampling

MAX_CHOICES: Final = 8
MAX_PROMPTS: Final = 64
MAX_MESSAGES: Final = 2048

ModelName = Annotated[str, Meta(min_length=1, max_length=200)]
Texts = str | list[str | int | list[int]]
"""One text or several; tokens are told apart from them, to say that they are not taken."""
T = TypeVar("T")


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream tells beside the text."""

    include_usage: bool | None = None


class _Common(msgspec.Struct, frozen=True, kw_only=True):
    """What all requests for text have in common. Null is as good as not given."""

    unserved: ClassVar[Mapping[str, str]] = {}
    """Fields that would change what the answer means, and what to do instead."""

    model: ModelName
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    ignore_eos: bool | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logit_bias: dict[str, float] | None = None

    def __post_init__(self) -> None:
        refuse_unserved(self, self.unserved)

    @property
    def choices(self) -> int:
        """How many answers to one prompt."""
        return self.n or 1

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, **more: Any) -> Sampling:
        """How tokens are chosen. Raises Invalid for a value out of its bounds."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        given = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "repetition_penalty": self.repetition_penalty,
            "ignore_eos": self.ignore_eos,
            "seed": None if self.seed is None else self.seed % (1 << 32),
            "stop": stop,
            **more,
        }
        if given["max_tokens"] == 0:
            raise Invalid("max_tokens must be 1 or more")
        chosen = {name: value for name, value in given.items() if value is not None}
        try:
            return msgspec.convert(chosen, Sampling)
        except msgspec.ValidationError as error:
            raise Invalid(f"the request is not valid: {error}") from None

    def repeated(self, generation: Generation) -> list[Generation]:
        """The generation for each choice; of several, each with a seed of its own.

        Raises:
            Invalid: the request wants what no engine does.
        """
        if self.logit_bias:
            raise Unsupported("logit_bias", "logit_bias is not served")
        seed = generation.sampling.seed
        if seed is None or self.choices == 1:
            return [generation] * self.choices
        replace = msgspec.structs.replace
        return [
            replace(
                generation,
                sampling=replace(generation.sampling, seed=(seed + number) % (1 << 32)),
            )
            for number in range(self.choices)
        ]


class ChatRequest(_Common, frozen=True, kw_only=True):
    """`POST /v1/chat/completions`."""

    unserved: ClassVar[Mapping[str, str]] = {
        "functions": "give them as tools",
        "function_call": "give a tool_choice",
        "audio": "answers are text",
        "web_search_options": "nothing is searched for",
    }

    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[ChatTool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: Any = None
    function_call: Any = None
    audio: Any = None
    web_search_options: Any = None

    @property
    def uses_tools(self) -> bool:
        """Whether a tool may be called."""
        return bool(self.tools) and self.tool_choice != "none"

    @property
    def structured(self) -> bool:
        """Whether the answer keeps to a schema."""
        return self.response_format is not None and self.response_format.type != "text"

    def generations(self) -> list[Generation]:
        """What is to be generated, for each choice. Raises Invalid."""
        messages = [message.read() for message in self.messages]
        schema = "" if self.response_format is None else self.response_format.schema()
        if self.uses_tools:
            kinds = {tool.type for tool in self.tools or ()} - {"function"}
            if kinds:
                raise Unsupported(
                    "tools", f"tools: type '{kinds.pop()[:40]}' is not served, only function"
                )
            functions = [tool.function for tool in self.tools or ()]
            callable_, must = offered(functions, self.tool_choice)
            messages, schema = tools.offer(messages, callable_, must=must, answer=schema)
        more: dict[str, Any] = {"logprobs": self.logprobs, "top_logprobs": self.top_logprobs}
        if self.max_completion_tokens is not None:
            more["max_tokens"] = self.max_completion_tokens
        return self.repeated(
            Generation(tuple(messages), sampling=self.sampling(**more), schema=schema)
        )


class CompletionRequest(_Common, frozen=True, kw_only=True):
    """`POST /v1/completions`."""

    unserved: ClassVar[Mapping[str, str]] = {
        "echo": "put the prompt before the answer yourself",
        "suffix": "texts are only gone on with",
    }

    prompt: Texts
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.best_of not in (None, self.choices):
            raise Unsupported("best_of", "best_of is not served: ask for n answers")

    def generations(self) -> list[Generation]:
        """What is to be generated: all choices of the first prompt, then those of the next."""
        asked = self.logprobs is not None
        # OpenAI's own default for completions.
        tokens = 16 if self.max_tokens is None else self.max_tokens
        sampling = self.sampling(
            max_tokens=tokens, logprobs=asked, top_logprobs=max(0, (self.logprobs or 0) - 1)
        )
        return [
            each
            for prompt in self.prompts()
            for each in self.repeated(Generation(prompt=prompt, sampling=sampling))
        ]

    def prompts(self) -> list[str]:
        """The texts to go on with. Raises Invalid."""
        return texts_of("prompt", self.prompt, MAX_PROMPTS)


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """`POST /v1/embeddings`."""

    model: ModelName
    input: Texts
    encoding_format: str | None = None
    dimensions: int | None = None


def read_request(body: bytes | memoryview, kind: type[T]) -> T:
    """The request. Raises Invalid; says of which field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the request is not valid: {error}") from None


def texts_of(field: str, given: Texts, most: int) -> list[str]:
    """The texts of a field. Raises Invalid."""
    listed: Sequence[Any] = [given] if isinstance(given, str) else given
    texts = [each for each in listed if isinstance(each, str) and each]
    if texts and len(texts) == len(listed) <= most:
        return texts
    if any(not isinstance(each, str) for each in listed):
        raise Unsupported(
            field,
            f"{field} must be texts: tokens of another tokenizer would mean something else to this "
            "model (LangChain sends texts with check_embedding_ctx_length=False)",
        )
    raise Invalid(f"{field} must be 1 to {most} texts that are not empty")


def refuse_unserved(request: msgspec.Struct, unserved: Mapping[str, str]) -> None:
    """Raises Unsupported for a field that is given, and says what to do instead."""
    for name, instead in unserved.items():
        if getattr(request, name):
            raise Unsupported(name, f"{name} is not served: {instead}")
